/* Sends a file in chunks, resuming where the server stopped. */

import { pause, Problem } from "../api.js";

/** Half of the 32 MiB that common proxies and platforms accept in a request. */
const CHUNK_BYTES = 16 * 1024 * 1024;
const LONGEST_WAIT_MS = 10_000;

/**
 * @typedef {Object} Sending
 * @property {string} [upload_id] On the server, once it is created.
 * @property {string} name
 * @property {File} file
 * @property {Object<string, any>} options As in POST /transcribe.
 */

/**
 * Upload a file and submit it, however often the connection breaks; an upload becomes one job.
 * @param {import("../api.js").Api} api
 * @param {Sending} sending Gets its `upload_id`.
 * @param {Object} watch
 * @param {AbortSignal} watch.signal
 * @param {() => Promise<any>} watch.begun Called when the upload was created.
 * @param {(bytes: number) => void} watch.sent
 * @param {(lost: boolean) => void} watch.lost Whether it waits for the connection.
 * @returns {Promise<any>} The answer of POST /transcribe.
 * @throws {Problem}
 */
export async function send(api, sending, watch) {
  if (!sending.file.size) throw new Problem(415, { detail: "The file is empty. Choose another one." });
  for (let delay = 1000; ; delay = Math.min(2 * delay, LONGEST_WAIT_MS)) {
    try {
      const received = await begin(api, sending, watch);
      watch.lost(false);
      await append(api, sending, received, () => { delay = 1000; }, watch);
      return await api.post("/transcribe", { upload: sending.upload_id, ...sending.options }, { signal: watch.signal });
    } catch (problem) {
      if (!(problem instanceof Problem) || !isTemporary(problem)) throw problem;
      watch.lost(true);
      await wait(Number(problem.headers.get("Retry-After")) * 1000 || delay, watch.signal);
    }
  }
}

/** Whether a retry may succeed: offline, timeout, conflict with another tab, server busy. */
function isTemporary(problem) {
  return [0, 408, 409, 502, 503, 504].includes(problem.status) || (problem.status === 429 && problem.headers.has("Retry-After"));
}

/** @returns {Promise<number>} Bytes that the server has received. */
async function begin(api, sending, { signal, begun }) {
  if (sending.upload_id) {
    try {
      const answer = await api.call("HEAD", `/uploads/${sending.upload_id}`, { signal });
      return Number(answer.headers.get("Upload-Offset"));
    } catch (problem) {
      if (![404, 410].includes(problem.status)) throw problem; // expired: create it again
    }
  }
  const body = { name: sending.name, size_bytes: sending.file.size, method: "resumable" };
  const created = await api.post("/uploads", body, { signal });
  sending.upload_id = created.upload_id;
  await begun();
  return created.received_bytes;
}

async function append(api, sending, from, arrived, { signal, sent }) {
  let offset = from;
  sent(offset);
  while (offset < sending.file.size) {
    const chunk = sending.file.slice(offset, offset + CHUNK_BYTES);
    const headers = { "Content-Type": "application/partial-upload", "Upload-Offset": String(offset) };
    const answer = await api.send("PATCH", `/uploads/${sending.upload_id}`, chunk, {
      headers, signal, progress: (bytes) => sent(offset + bytes),
    });
    offset = Number(answer.getResponseHeader("Upload-Offset"));
    arrived();
    sent(offset);
  }
}

/** Wait, or until the browser is online again. */
async function wait(milliseconds, signal) {
  let back = () => {};
  const online = new Promise((done) => { back = () => done(undefined); addEventListener("online", back, { once: true }); });
  const aborted = new Promise((_done, failed) => { signal.addEventListener("abort", () => failed(signal.reason), { once: true }); });
  try {
    await Promise.race([pause(milliseconds), online, aborted]);
  } finally {
    removeEventListener("online", back);
  }
}
