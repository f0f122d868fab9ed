/* Changing a transcript: seen at once, sent in order, undone and done again. */

import { pause } from "../api.js";
import { changed } from "./edits.js";
import { Segment, segmentsOf, wordless } from "./model.js";

const AGAIN_MS = 2000;

/** What is on its way to the server, by its job's path; goes on when the view is left. @type {Map<string, Promise<void>>} */
const underWay = new Map();
addEventListener("beforeunload", (event) => { if (underWay.size) event.preventDefault(); });

/** @param {string} path Of a job. @returns {Promise<void>} When the server has every change of it, or has refused it. */
export function settled(path) { return underWay.get(path) ?? Promise.resolve(); }

/**
 * @typedef {Object} State
 * @property {Segment[]} segments
 * @property {import("./model.js").Turn[]} silent Turns of speakers without words.
 * @property {Object<string, string>} names
 *
 * @typedef {Object} Request What the server is asked.
 * @property {"PATCH"|"POST"} method
 * @property {string} path Behind the job's.
 * @property {any} [body]
 */

/**
 * Fires `change` (other segments or names), `saving` (how many changes wait), `conflict` (somebody
 * else was first; `detail` has the message and the texts that were not taken) and `refused`.
 */
export class Editing extends EventTarget {
  #done = [];
  #undone = [];
  #queue = Promise.resolve();
  #waiting = [];
  #reading = null; // while the whole transcript is on its way

  /** @param {import("../api.js").Api} api @param {any} job As GET /transcribe/{id} has it. */
  constructor(api, job) {
    super();
    this.api = api;
    this.path = `/transcribe/${job.job_id}`;
    this.key = api.session.key_id;
    this.#take(job);
  }

  /** How many changes the server has not taken yet. */
  get waiting() { return this.#waiting.length; }

  /** @param {import("./edits.js").Change[]} changes One step of undo. */
  async change(changes) {
    const texts = changes.filter((each) => "text" in each)
      .map((each) => ({ text: each.text, start: this.state.segments[each.segment].start }));
    const [{ segment }] = changes;
    const meant = this.state.segments[segment].text;
    await this.#reading;
    if (this.state.segments[segment]?.text !== meant) { // it was read again meanwhile
      this.#tell("conflict", { message: "Somebody else changed this segment meanwhile.", texts });
      return;
    }
    const request = changes.length === 1
      ? { method: "PATCH", path: `/segments/${changes[0].segment}`, body: without(changes[0]) }
      : { method: "PATCH", path: "/segments", body: { changes } };
    this.#step({ ...this.state, segments: changed(this.state.segments, changes) }, request, texts);
  }

  /** @param {string} label @param {string} name Empty takes it away. */
  async name(label, name) {
    await this.#reading;
    const names = { ...this.state.names, [label]: name };
    if (!name) delete names[label];
    this.#step({ ...this.state, names }, { method: "PATCH", path: "/speakers", body: { [label]: name || null } });
  }

  /** Give everything that one speaker said to another. @param {string|null} from @param {string|null} to */
  async reassign(from, to) {
    await this.#reading;
    const segments = this.state.segments.map((each) => (each.speaker === from
      ? new Segment(each.words.map((word) => ({ ...word, speaker: to })), to, each.language) : each));
    const silent = this.state.silent.map((each) => (each.speaker === from ? { ...each, speaker: to } : each)).filter((each) => each.speaker);
    this.#step({ ...this.state, segments, silent }, { method: "PATCH", path: "/segments", body: { reassign: { from, to } } });
  }

  /** Put one text for another everywhere. @param {string} find @param {string} put */
  async replace(find, put) {
    await this.#reading;
    const before = this.state;
    if (await this.#ask({ method: "PATCH", path: "/segments", body: { replace: { find, with: put } } }, true)) {
      this.#done.push({ before, after: this.state });
      this.#undone.length = 0;
    }
  }

  /** Take back the latest step; one from before this visit is known to the server alone. */
  undo() { return this.#walk("/undo", this.#done, this.#undone, "before"); }

  /** Bring back what was undone last. */
  redo() { return this.#walk("/redo", this.#undone, this.#done, "after"); }

  async #walk(path, from, to, side) {
    await this.#reading;
    const step = from.pop();
    if (step) {
      to.push(step);
      this.#set(step[side]);
    }
    await this.#ask({ method: "POST", path }, !step);
  }

  #step(next, request, texts = []) {
    const after = { ...next, silent: wordless(next.silent, next.segments) };
    this.#done.push({ before: this.state, after });
    this.#undone.length = 0;
    this.#set(after);
    this.#ask(request, false, texts);
  }

  #set(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Send a request behind those that wait.
   * @param {Request} request
   * @param {boolean} [read] Then read the transcript again, as only the server knows what came of it.
   * @param {{text: string, start: number}[]} [texts] What somebody typed.
   * @returns {Promise<boolean>} Whether it was taken.
   */
  #ask(request, read = false, texts = []) {
    const entry = { texts };
    this.#waiting.push(entry);
    this.#tell("saving");
    const answer = this.#queue.then(async () => {
      if (!this.#waiting.includes(entry)) return false; // went down with one before it
      try {
        this.edition = (await this.#send(request)).edition;
        if (read) await this.#read();
        this.#waiting.shift();
        this.#tell("saving");
        return true;
      } catch (problem) {
        await this.#refused(problem);
        return false;
      }
    });
    this.#queue = answer.then(() => {});
    underWay.set(this.path, this.#queue);
    this.#queue.then(() => { if (!this.#waiting.length) underWay.delete(this.path); });
    if (read) this.#reading = this.#queue.then(() => { this.#reading = null; });
    return answer;
  }

  async #send({ method, path, body }) {
    for (;;) {
      try {
        const headers = { "If-Match": `"${this.edition}"` };
        const answer = await this.api.call(method, this.path + path, { json: body, headers });
        return await answer.json();
      } catch (problem) {
        if (problem.status === 401) await this.#signedIn(problem);
        else if (problem.offline) await pause(AGAIN_MS); // with If-Match, what was taken before is not taken twice
        else throw problem;
      }
    }
  }

  /** What was changed before a session was over waits for the same key, and goes to no other. */
  async #signedIn(problem) {
    await new Promise((done) => { this.api.addEventListener("signedin", done, { once: true }); });
    if (this.api.session.key_id !== this.key) throw problem;
  }

  /** Begin again from what the server has; what was typed is handed over. */
  async #refused(problem) {
    const lost = this.#waiting.flatMap((each) => each.texts);
    this.#waiting = [];
    this.#done.length = 0;
    this.#undone.length = 0;
    this.#reading = this.#read().catch(() => {}).then(() => { this.#reading = null; });
    await this.#reading;
    const texts = lost.filter(({ text }) => !this.state.segments.some((each) => each.text === text));
    const conflict = problem.status === 412 || problem.status === 409;
    this.#tell(conflict ? "conflict" : "refused", { message: problem.message, texts });
  }

  /** Read everything again. */
  async #read() {
    this.#take(await this.api.get(this.path));
    this.dispatchEvent(new Event("change"));
  }

  #take(job) {
    this.job = job;
    this.edition = job.edition;
    const segments = segmentsOf(job.transcript.segments);
    this.state = { segments, silent: wordless(job.transcript.turns, segments), names: { ...job.transcript.names } };
  }

  #tell(name, detail = null) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}

function without({ segment: _, ...change }) {
  return change;
}
