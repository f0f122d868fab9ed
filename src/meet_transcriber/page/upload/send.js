/* Sends one file in pieces, from wherever the server has got to. */

import { pause, Problem } from "../api.js";

/** Proxies and platforms take at most 32 MiB in one request, where they have a limit. */
const PIECE_BYTES = 16 * 1024 * 1024;
const LONGEST_WAIT_MS = 10_000;

/**
 * @typedef {Object} Sending
 * @property {string} [upload_id] As the server knows it; absent before it was asked.
 * @property {string} name
 * @property {File} file
 * @property {Object<string, any>} options As POST /transcribe takes them.
 */

/**
 * Send a file and have it transcribed, however often the connection breaks; the same upload is
 * never two jobs.
 * @param {import("../api.js").Api} api
 * @param {Sending} sending `upload_id` is set in it.
 * @param {Object} watch
 * @param {AbortSignal} watch.signal
 * @param {() => Promise<any>} watch.begun Called once the server knows the upload.
 * @param {(bytes: number) => void} watch.sent
 * @param {(lost: boolean) => void} watch.lost Whether it waits for the connection to come back.
 * @returns {Promise<any>} The job, as POST /transcribe answers.
 * @throws {Problem}
 */
export async function send(api, sending, watch) {
  if (!sending.file.size) throw new Problem(415, { detail: "The file is empty: nothing was recorded, or the copy failed. Choose another." });
  for (let wait = 1000; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
    try {
      const received = await begin(api, sending, watch);
      watch.lost(false);
      await append(api, sending, received, () => { wait = 1000; }, watch);
      return await api.post("/transcribe", { upload: sending.upload_id, ...sending.options }, { signal: watch.signal });
    } catch (problem) {
      if (!(problem instanceof Problem) || !passing(problem)) throw problem;
      watch.lost(true);
      await until(Number(problem.headers.get("Retry-After")) * 1000 || wait, watch.signal);
    }
  }
}

/** What mends itself: no answer, a server that is busy or away, another one that was quicker. */
function passing(problem) {
  return [0, 408, 409, 502, 503, 504].includes(problem.status) || (problem.status === 429 && problem.headers.has("Retry-After"));
}

/** @returns {Promise<number>} The bytes that the server has. */
async function begin(api, sending, { signal, begun }) {
  if (sending.upload_id) {
    try {
      const answer = await api.call("HEAD", `/uploads/${sending.upload_id}`, { signal });
      return Number(answer.headers.get("Upload-Offset"));
    } catch (problem) {
      if (![404, 410].includes(problem.status)) throw problem; // it was given up meanwhile: once more
    }
  }
  const wish = { name: sending.name, size_bytes: sending.file.size, method: "resumable" };
  const made = await api.post("/uploads", wish, { signal });
  sending.upload_id = made.upload_id;
  await begun();
  return made.received_bytes;
}

async function append(api, sending, from, arrived, { signal, sent }) {
  let offset = from;
  sent(offset);
  while (offset < sending.file.size) {
    const piece = sending.file.slice(offset, offset + PIECE_BYTES);
    const headers = { "Content-Type": "application/partial-upload", "Upload-Offset": String(offset) };
    const answer = await api.send("PATCH", `/uploads/${sending.upload_id}`, piece, {
      headers, signal, progress: (bytes) => sent(offset + bytes),
    });
    offset = Number(answer.getResponseHeader("Upload-Offset"));
    arrived();
    sent(offset);
  }
}

/** Wait, but no longer than until the browser says that it is online again. */
async function until(milliseconds, signal) {
  let back = () => {};
  const online = new Promise((done) => { back = () => done(undefined); addEventListener("online", back, { once: true }); });
  const aborted = new Promise((_done, failed) => { signal.addEventListener("abort", () => failed(signal.reason), { once: true }); });
  try {
    await Promise.race([pause(milliseconds), online, aborted]);
  } finally {
    removeEventListener("online", back);
  }
}
