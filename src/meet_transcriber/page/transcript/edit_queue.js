/* Edits of a transcript: requests go to the server in order, and its answers say what changed. Typed
   text and names are shown at once, as previews. */

import { pause } from "../api.js";
import { segmentsOf, wordless } from "./model.js";

const RETRY_MS = 2000;

/** Requests under way by the path of their job; they continue after the view is left. @type {Map<string, Promise<void>>} */
const underWay = new Map();
addEventListener("beforeunload", (event) => { if (underWay.size) event.preventDefault(); });

/** @param {string} path Of a job. @returns {Promise<void>} Resolves when the server has accepted or refused every edit. */
export function settled(path) { return underWay.get(path) ?? Promise.resolve(); }

/**
 * @typedef {Object} Change As PATCH /transcribe/{id}/segments takes it; one thing beside `segment`.
 * @property {number} segment
 * @property {string} [text]
 * @property {string|null} [speaker]
 * @property {number} [split_at]
 * @property {true} [merge]
 *
 * @typedef {Object} State
 * @property {import("./model.js").Segment[]} segments
 * @property {import("./model.js").Turn[]} silent Turns of speakers without words.
 * @property {string[]} speakers Labels.
 * @property {Object<string, string>} names
 *
 * @typedef {Object} Request
 * @property {"PATCH"|"POST"} method
 * @property {string} path Behind the job's.
 * @property {any} [body]
 *
 * @typedef {Object} Step An edit that the server has not accepted yet.
 * @property {() => Request|null} request Called when it is sent; null when its segments have changed.
 * @property {(state: State) => State} [preview] The state with the edit, shown until the server answers.
 * @property {{text: string, start: number}} [typed]
 */

/**
 * Fires `change` (segments, speakers or names changed), `saving` (the number of waiting edits changed),
 * `conflict` (the transcript changed elsewhere; `detail` has the message and the texts that were not
 * saved) and `refused` (the same for other errors).
 */
export class EditQueue extends EventTarget {
  #queue = Promise.resolve();
  /** @type {Step[]} */
  #waiting = [];
  /** @type {State} What the server has. */
  #saved;

  /** @param {import("../api.js").Api} api @param {any} job As GET /transcribe/{id} answers. */
  constructor(api, job) {
    super();
    this.api = api;
    this.path = `/transcribe/${job.job_id}`;
    this.key = api.session.key_id;
    this.#load(job);
    this.state = this.#saved;
  }

  /** The number of edits that the server has not accepted yet. */
  get waiting() { return this.#waiting.length; }

  /**
   * Change segments in one step.
   * @param {Change[]} changes Each at the places that the one before left.
   * @param {number} first The first segment that they are about.
   * @param {number} [count] How many segments they are about.
   */
  change(changes, first, count = 1) {
    const meant = this.state.segments.slice(first, first + count);
    const request = () => {
      const at = indexOf(this.#saved.segments, meant);
      const moved = changes.map((each) => ({ ...each, segment: each.segment + at - first }));
      return at < 0 ? null : { method: "PATCH", path: "/segments", body: { changes: moved } };
    };
    const { text } = changes[0];
    if (text === undefined) return this.#send({ request });
    const retyped = meant[0].withText(text);
    const preview = (state) => {
      const at = indexOf(state.segments, meant);
      return at < 0 ? state : { ...state, segments: state.segments.with(at, retyped) };
    };
    return this.#send({ request, preview, typed: { text, start: retyped.start } });
  }

  /** @param {string} label @param {string} name Empty removes it. */
  name(label, name) {
    const body = { [label]: name || null };
    return this.#send({
      request: () => ({ method: "PATCH", path: "/speakers", body }),
      preview: (state) => ({ ...state, names: { ...state.names, ...body } }),
    });
  }

  /** Give everything that one speaker said to another. @param {string|null} from @param {string|null} to */
  reassign(from, to) {
    return this.#send({ request: () => ({ method: "PATCH", path: "/segments", body: { reassign: { from, to } } }) });
  }

  /** Replace whole words everywhere. @param {string} find @param {string} text @returns {Promise<any>} The server's answer, null if refused. */
  replace(find, text) {
    return this.#send({ request: () => ({ method: "PATCH", path: "/segments", body: { replace: { find, with: text } } }) });
  }

  /** Undo the latest step. */
  undo() { return this.#send({ request: () => ({ method: "POST", path: "/undo" }) }); }

  /** Redo the step that was undone last. */
  redo() { return this.#send({ request: () => ({ method: "POST", path: "/redo" }) }); }

  /** @param {Step} step Sent after those that wait. */
  #send(step) {
    this.#waiting.push(step);
    if (step.preview) this.#show();
    this.#tell("saving");
    const answer = this.#queue.then(() => this.#run(step));
    this.#queue = answer.then(() => {});
    underWay.set(this.path, this.#queue);
    this.#queue.then(() => { if (!this.#waiting.length) underWay.delete(this.path); });
    return answer;
  }

  async #run(step) {
    if (!this.#waiting.includes(step)) return null; // one before it was refused
    try {
      const request = step.request();
      if (!request) throw new Error("The segment changed before this edit was saved.");
      const answer = await this.#call(request);
      this.#apply(answer);
      this.#waiting.shift();
      this.#show();
      this.#tell("saving");
      return answer;
    } catch (problem) {
      await this.#refused(problem);
      return null;
    }
  }

  async #call({ method, path, body }) {
    for (;;) {
      try {
        const headers = { "If-Match": `"${this.edition}"` };
        const answer = await this.api.call(method, this.path + path, { json: body, headers });
        return await answer.json();
      } catch (problem) {
        if (problem.status === 401) await this.#signedIn(problem);
        else if (problem.offline) await pause(RETRY_MS); // If-Match keeps an edit from being made twice
        else throw problem;
      }
    }
  }

  /** Edits of an expired session wait for the same key; another key must not send them. */
  async #signedIn(problem) {
    await new Promise((done) => { this.api.addEventListener("signedin", done, { once: true }); });
    if (this.api.session.key_id !== this.key) throw problem;
  }

  /** Load the transcript again and hand over the texts that were not saved. */
  async #refused(problem) {
    const typed = this.#waiting.flatMap((each) => each.typed ?? []);
    this.#waiting = [];
    await this.api.get(this.path).then((job) => this.#load(job), () => {});
    this.#show();
    const texts = typed.filter(({ text }) => !this.state.segments.some((each) => each.text === text));
    const conflict = problem.status === 412 || problem.status === 409;
    this.#tell(conflict ? "conflict" : "refused", { message: problem.message, texts });
  }

  #load(job) {
    const { segments: plain, turns, speakers } = job.transcript;
    const segments = segmentsOf(plain);
    this.job = job;
    this.edition = job.edition;
    this.#saved = { segments, silent: wordless(turns, segments), speakers, names: job.names };
  }

  #apply({ edition, names, transcript_change: change }) {
    const segments = [...this.#saved.segments];
    for (const { segment, removed, inserted } of change.segments) segments.splice(segment, removed, ...segmentsOf(inserted));
    this.edition = edition;
    this.#saved = { segments, silent: change.turns_without_words, speakers: change.speakers, names };
  }

  #show() {
    this.state = this.#waiting.reduce((state, { preview }) => preview?.(state) ?? state, this.#saved);
    this.dispatchEvent(new Event("change"));
  }

  #tell(name, detail = null) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}

/** Where neighbouring segments are, by their start and text; -1 if they have changed. */
function indexOf(segments, wanted) {
  const same = (one, other) => one === other || (one?.start === other.start && one.text === other.text);
  return segments.findIndex((_, at) => wanted.every((each, offset) => same(segments[at + offset], each)));
}
