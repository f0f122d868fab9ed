/* Records from the microphone; every second is kept, so that a tab that crashes loses nothing. */

import { fill, h } from "../dom.js";
import { clock, moment } from "../format.js";
import { icon } from "../icons.js";
import * as storage from "./storage.js";

const FORMATS = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
const PIECE_MS = 1000;
const REFUSALS = {
  NotAllowedError: "The browser does not let this page use the microphone; allow it beside the page's address.",
  NotFoundError: "No microphone was found; connect one, or choose it in the system's settings.",
};

/**
 * @param {(file: File) => void} done Gets the recording once it is stopped.
 * @returns {{button: HTMLElement, element: HTMLElement, unmount: () => void}}
 */
export function makeRecorder(done) {
  const element = h("div", { class: "recorder", hidden: true });
  const button = h("button", { class: "button", type: "button", onclick: () => start() }, icon("microphone"), "Record");
  /** @type {Recording|null} */
  let recording = null;

  const say = (...content) => {
    fill(element, content);
    element.hidden = !content.length;
  };
  const start = async () => {
    if (recording) return;
    if (!navigator.mediaDevices) {
      say(h("p", null, "Browsers let a page record only over HTTPS, or on the very machine that it comes from. Open this page by an address that begins with ",
        h("code", null, "https://"), ", or with ", h("code", null, "http://localhost"), "."));
      return;
    }
    button.disabled = true;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, autoGainControl: true, noiseSuppression: true } });
      recording = new Recording(stream);
      show(recording);
    } catch (problem) {
      button.disabled = false;
      say(h("p", null, REFUSALS[problem.name] ?? "The microphone gives no sound; another program may be using it."));
    }
  };
  const show = (current) => {
    const time = h("output", { class: "recorder-time" }, "0:00");
    const level = h("div", { class: "level", "aria-hidden": "true" }, h("i"));
    const halt = h("button", { class: "button", type: "button", onclick: () => {
      const paused = current.toggle();
      fill(halt, icon(paused ? "play" : "pause"), paused ? "Go on" : "Pause");
    } }, icon("pause"), "Pause");
    const stop = h("button", { class: "button primary", type: "button", onclick: () => end(true) }, icon("stop"), "Stop and transcribe");
    const discard = h("button", { class: "button", type: "button", onclick: () => end(false) }, "Throw away");
    say(h("span", { class: "recording-dot", "aria-hidden": "true" }), time, level, h("div", { class: "zone-actions" }, stop, halt, discard));
    current.ondata = (seconds) => { time.textContent = clock(seconds); };
    current.onlevel = (share) => { level.style.setProperty("--level", String(share)); };
    stop.focus();
  };
  const end = async (keep) => {
    const file = await recording?.stop(keep);
    recording = null;
    button.disabled = false;
    say();
    button.focus();
    if (file) done(file);
  };

  lostRecordings((lost) => {
    const act = async (keep) => {
      const file = keep ? named(lost, await storage.chunks(lost.id)) : null;
      await storage.removeRecording(lost.id);
      say();
      button.focus();
      if (file) done(file);
    };
    say(h("p", null, `A recording of ${moment(lost.began)} was interrupted. It is still here.`),
      h("div", { class: "zone-actions" },
        h("button", { class: "button primary", type: "button", onclick: () => act(true) }, "Transcribe it"),
        h("button", { class: "button", type: "button", onclick: () => act(false) }, "Throw it away")));
  });
  return { button, element, unmount: () => { if (recording) end(true); } };
}

/** One recording that is being made. */
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
    storage.put("recordings", this.record).catch(() => {}); // without room in the browser a crash loses it, and nothing else does
    this.media.addEventListener("dataavailable", ({ data }) => {
      this.#chunks.push(data);
      storage.addChunk(this.id, data).catch(() => {});
    });
    this.media.start(PIECE_MS);
    let last = performance.now();
    this.timer = setInterval(() => { // seldom in a hidden tab
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
    const look = () => {
      if (this.media.state === "inactive") return;
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, each) => sum + each * each, 0) / samples.length;
      this.onlevel(Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-6) / 6)));
      requestAnimationFrame(look);
    };
    look();
  }

  /** @returns {boolean} Whether it is paused now. */
  toggle() {
    if (this.media.state === "paused") this.media.resume();
    else this.media.pause();
    return this.media.state === "paused";
  }

  /** @param {boolean} keep @returns {Promise<File|null>} The recording, if it is to be kept. */
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

/** Recordings that no tab is making any more. @param {(lost: any) => void} found */
async function lostRecordings(found) {
  for (const each of await storage.all("recordings").catch(() => [])) {
    await storage.withLock(`recording-${each.id}`, async () => found(each));
  }
}
