/* The upload queue of this browser: two at a time, stored until they are jobs. */

import * as storage from "./storage.js";
import { send } from "./send.js";

const AT_ONCE = 2;

/**
 * @typedef {Object} Upload
 * @property {string} id In this browser.
 * @property {string} [upload_id] On the server.
 * @property {string} name
 * @property {number} size
 * @property {number} modified
 * @property {File|null} file null if it must be chosen again.
 * @property {Object<string, any>} options
 * @property {"waiting"|"sending"|"lost"|"paused"|"missing"|"failed"} state
 * @property {number} sent Bytes.
 * @property {number} began When this attempt began, in ms; 0 before.
 * @property {number} beganAt Bytes sent before this attempt.
 * @property {any} [problem]
 */

/** Fires `change` (an upload changed) and `done` ({upload, job}). */
export class Queue extends EventTarget {
  /** @type {Map<string, Upload>} */
  uploads = new Map();
  /** @type {Map<string, AbortController>} */
  #running = new Map();

  /** @param {import("../api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
  }

  /** Resume uploads of an earlier visit. */
  async restore() {
    for (const upload of await storage.all("uploads").catch(() => [])) {
      if (this.uploads.has(upload.id)) continue;
      const file = upload.file && await readable(upload.file) ? upload.file : null;
      this.uploads.set(upload.id, { ...upload, file, state: file ? "waiting" : "missing" });
    }
    this.#changed();
  }

  /** @param {Iterable<File>} files @param {Object<string, any>} options */
  async add(files, options) {
    for (const file of files) {
      const missing = [...this.uploads.values()].find((each) => each.state === "missing" && isSame(each, file));
      if (missing) Object.assign(missing, { file, state: "waiting" });
      else {
        const upload = /** @type {Upload} */ ({
          id: storage.newId(), name: file.name, size: file.size, modified: file.lastModified, file, options, state: "waiting", sent: 0, began: 0, beganAt: 0,
        });
        await keep(upload);
        this.uploads.set(upload.id, upload);
      }
    }
    this.#changed();
  }

  /** Retry uploads that were refused while signed out. */
  retryRefused() {
    for (const upload of this.uploads.values()) if (upload.problem?.status === 401) this.resume(upload.id);
  }

  /** @param {string} id */
  pause(id) {
    this.#set(id, { state: "paused" });
    this.#running.get(id)?.abort();
  }

  /** @param {string} id */
  resume(id) { this.#set(id, { state: "waiting", problem: undefined }); }

  /** Cancel an upload here and on the server. @param {string} id */
  async cancel(id) {
    const upload = this.uploads.get(id);
    this.uploads.delete(id);
    this.#running.get(id)?.abort();
    this.#changed();
    await storage.remove("uploads", id).catch(() => {});
    if (upload?.upload_id) await this.api.delete(`/uploads/${upload.upload_id}`).catch(() => {}); // it expires there otherwise
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
    for (const upload of this.uploads.values()) {
      if (this.#running.size >= AT_ONCE) return;
      if (upload.state === "waiting" && !this.#running.has(upload.id)) this.#run(upload);
    }
  }

  #set(id, changes) {
    const upload = this.uploads.get(id);
    if (!upload) return;
    Object.assign(upload, changes);
    this.#changed();
  }

  async #run(upload) {
    const controller = new AbortController();
    this.#running.set(upload.id, controller);
    const mine = await storage.withLock(`upload-${upload.id}`, () => this.#send(upload, controller.signal));
    this.#running.delete(upload.id);
    if (!mine) this.uploads.delete(upload.id); // another tab sends it
    this.#changed();
  }

  async #send(upload, signal) {
    const known = await storage.get("uploads", upload.id).catch(() => upload);
    if (!known) { // another tab has done it, or gave it up
      this.uploads.delete(upload.id);
      return;
    }
    upload.upload_id ??= known.upload_id;
    this.#set(upload.id, { state: "sending", began: 0 });
    try {
      const job = await send(this.api, upload, {
        signal,
        begun: () => storage.put("uploads", { ...known, upload_id: upload.upload_id }).catch(() => {}),
        sent: (bytes) => this.#set(upload.id, upload.began ? { sent: bytes } : { sent: bytes, began: Date.now(), beganAt: bytes }),
        lost: (lost) => this.#set(upload.id, { state: lost ? "lost" : "sending", began: 0 }),
      });
      this.uploads.delete(upload.id);
      await storage.remove("uploads", upload.id).catch(() => {});
      this.dispatchEvent(new CustomEvent("done", { detail: { upload, job } }));
    } catch (problem) {
      if (signal.aborted) return;
      this.#set(upload.id, { state: "failed", problem });
    }
  }
}

/** Store an upload; without room for its file, the user chooses it again after a reload. */
async function keep(upload) {
  await storage.put("uploads", upload).catch(() => storage.put("uploads", { ...upload, file: null })).catch(() => {});
}

function isSame(upload, file) {
  return upload.name === file.name && upload.size === file.size && upload.modified === file.lastModified;
}

/** Whether a stored file can still be read; it may have been moved or changed. */
async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
