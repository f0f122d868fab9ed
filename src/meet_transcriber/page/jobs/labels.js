/* Labels for a job's state, progress and facts. */

import { clock, counted, percent, span } from "../format.js";

/** @typedef {Object<string, any>} Entry A job as the API shows it: JobEntry, with queue_position and eta_seconds. */

const STAGES = {
  fetch: "Downloading the recording",
  prepare: "Reading the recording",
  recognize: "Transcribing",
  diarize: "Detecting speakers",
  attribute: "Assigning words to speakers",
  waiting: "Waiting for a worker",
};
const STATES = { pending: "Waiting", processing: "Working", completed: "Ready", failed: "Failed", cancelled: "Cancelled" };
const ORDINALS = new Intl.PluralRules("en", { type: "ordinal" });
const ENDINGS = { one: "st", two: "nd", few: "rd", other: "th" };

/** @param {Entry} job */
export function isActive(job) { return job.status === "pending" || job.status === "processing"; }

/** @param {Entry} job @returns {string} */
export function state(job) { return STATES[job.status] ?? job.status; }

/** @param {Entry} job @returns {string} Stage, percent and time left. */
export function progress(job) {
  if (job.status === "pending") {
    const place = job.queue_position;
    const where = !place ? "Waiting for a worker" : place === 1 ? "Next in the queue" : `${place}${ENDINGS[ORDINALS.select(place)]} in the queue`;
    return join(where, timeLeft(job));
  }
  return join(STAGES[job.stage] ?? "Working", percent(job.progress), timeLeft(job));
}

function timeLeft(job) {
  return job.eta_seconds === null || job.eta_seconds === undefined ? "" : `about ${span(job.eta_seconds)} left`;
}

/** @param {Entry} job @returns {string} Duration, speakers, language. */
export function facts(job) {
  const language = job.options?.language;
  return join(
    job.duration ? clock(job.duration) : "",
    job.speakers_found ? counted(job.speakers_found, "speaker", "speakers") : "",
    language ? languageName(language) : "",
    job.edited ? "edited" : "",
    job.run > 1 ? `run ${job.run}` : "",
  );
}

/** @param {string} code @returns {string} The language's name, else the code. */
export function languageName(code) {
  try {
    return new Intl.DisplayNames("en", { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

function join(...parts) { return parts.filter(Boolean).join(" · "); }
