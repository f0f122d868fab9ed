/* Records from the microphone; every second is stored, so that a crashed tab loses nothing. */

import { fill, h } from "../dom.js";
import { clock, moment } from "../format.js";
import { icon } from "../icons.js";
import * as storage from "./storage.js";

const FORMATS = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
const PIECE_MS = 1000;
const REFUSALS = {
  NotAllowedError: "The browser blocks the microphone. Allow it in the site settings next to the address.",
  NotFoundError: "No microphone was found. Connect one or select it in the system settings.",
};

/**
 * @param {(file: File) => void} done Called with the recording when it is stopped.
 * @returns {{button: HTMLElement, element: HTMLElement, unmount: () => void}}
 */
export function makeRecorder(done) {
  const element = h("div", { class: "recorder", hidden: true });
  const button = h("button", { class: "button", type: "button", onclick: () => start() }, icon("microphone"), "Record");
  /** @type {Recording|null} */
  let recording = null;

  const showContent = (...content) => {
    fill(element, content);
    element.hidden = !content.length;
  };
  const start = async () => {
    if (recording) return;
    if (!navigator.mediaDevices) {
      showContent(h("p", null, "Browsers allow recording only over HTTPS or on the same machine. Open this page with an address that begins with ",
        h("code", null, "https://"), " or ", h("code", null, "http://localhost"), "."));
      return;
    }
    button.disabled = true;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, autoGainControl: true, noiseSuppression: true } });
      recording = new Recording(stream);
      show(recording);
    } catch (problem) {
      button.disabled = false;
      showContent(h("p", null, REFUSALS[problem.name] ?? "The microphone is not available. Another program may be using it."));
    }
  };
  const show = (current) => {
    const time = h("output", { class: "recorder-time" }, "0:00");
    const level = h("div", { class: "level", "aria-hidden": "true" }, h("i"));
    const pause = h("button", { class: "button", type: "button", onclick: () => {
      const paused = current.toggle();
      fill(pause, icon(paused ? "play" : "pause"), paused ? "Resume" : "Pause");
    } }, icon("pause"), "Pause");
    const stop = h("button", { class: "button primary", type: "button", onclick: () => end(true) }, icon("stop"), "Stop and transcribe");
    const discard = h("button", { class: "button", type: "button", onclick: () => end(false) }, "Discard");
    showContent(h("span", { class: "recording-dot", "aria-hidden": "true" }), time, level, h("div", { class: "zone-actions" }, stop, pause, discard));
    current.ondata = (seconds) => { time.textContent = clock(seconds); };
    current.onlevel = (share) => { level.style.setProperty("--level", String(share)); };
    stop.focus();
  };
  const end = async (keep) => {
    const file = await recording?.stop(keep);
    recording = null;
    button.disabled = false;
    showContent();
    button.focus();
    if (file) done(file);
  };

  lostRecordings((lost) => {
    const act = async (keep) => {
      const file = keep ? named(lost, await storage.chunks(lost.id)) : null;
      await storage.removeRecording(lost.id);
      showContent();
      button.focus();
      if (file) done(file);
    };
    showContent(h("p", null, `The recording of ${moment(lost.began)} was interrupted, but it was saved.`),
      h("div", { class: "zone-actions" },
        h("button", { class: "button primary", type: "button", onclick: () => act(true) }, "Transcribe"),
        h("button", { class: "button", type: "button", onclick: () => act(false) }, "Discard")));
  });
  return { button, element, unmount: () => { if (recording) end(true); } };
}

/** A recording in progress. */
class Recording {
  ondata = (_seconds) => {};
  onlevel = (_share) => {};
  #seconds = 0;
  /** @type {Blob[]} */
  #chunks = [];
  #over = () => {};

  /** @param {MediaStream} stream */
  constructor(stream) {
    this.stream = stream;
    this.id = storage.newId();
    const type = FORMATS.find((each) => MediaRecorder.isTypeSupported(each)) ?? "";
    this.media = new MediaRecorder(stream, { mimeType: type, audioBitsPerSecond: 64_000 });
    this.record = { id: this.id, began: new Date().toISOString(), type: this.media.mimeType || type };
    storage.withLock(`recording-${this.id}`, () => new Promise((over) => { this.#over = () => over(undefined); }));
    storage.put("recordings", this.record).catch(() => {}); // without storage only a crash loses it
    this.media.addEventListener("dataavailable", ({ data }) => {
      this.#chunks.push(data);
      storage.addChunk(this.id, data).catch(() => {});
    });
    this.media.start(PIECE_MS);
    let last = performance.now();
    this.timer = setInterval(() => { // throttled in a hidden tab
      const now = performance.now();
      if (this.media.state === "recording") this.ondata(this.#seconds += (now - last) / 1000);
      last = now;
    }, 250);
    this.#listen();
  }

  #listen() {
    this.audio = new AudioContext();
    const analyser = this.audio.createAnalyser();
    this.audio.createMediaStreamSource(this.stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const measure = () => {
      if (this.media.state === "inactive") return;
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, each) => sum + each * each, 0) / samples.length;
      this.onlevel(Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-6) / 6)));
      requestAnimationFrame(measure);
    };
    measure();
  }

  /** @returns {boolean} Whether it is paused. */
  toggle() {
    if (this.media.state === "paused") this.media.resume();
    else this.media.pause();
    return this.media.state === "paused";
  }

  /** @param {boolean} keep @returns {Promise<File|null>} The recording, null if discarded. */
  async stop(keep) {
    clearInterval(this.timer);
    await new Promise((ended) => { this.media.addEventListener("stop", ended, { once: true }); this.media.stop(); });
    for (const track of this.stream.getTracks()) track.stop();
    this.audio?.close();
    await storage.removeRecording(this.id).catch(() => {});
    this.#over();
    return keep ? named(this.record, this.#chunks) : null;
  }
}

function named({ began, type }, chunks) {
  const extension = type.includes("mp4") ? "m4a" : type.includes("ogg") ? "ogg" : "webm";
  const name = `Recording ${began.slice(0, 16).replace("T", " ").replace(":", ".")}.${extension}`;
  return new File(chunks, name, { type: type.split(";")[0] });
}

/** Find recordings of tabs that were closed. @param {(lost: any) => void} found */
async function lostRecordings(found) {
  for (const each of await storage.all("recordings").catch(() => [])) {
    await storage.withLock(`recording-${each.id}`, async () => found(each));
  }
}
