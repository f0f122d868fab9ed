/* The audio player. */

import { fill, h } from "../dom.js";
import { clock } from "../format.js";
import { icon } from "../icons.js";

export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];

/** Fires `tick` with every frame while playing and after every seek. */
export class Player extends EventTarget {
  #place = 0; // position without audio
  #frame = 0;
  #broken = false;

  /**
   * @param {string|undefined} address URL of the recording; undefined if it was not kept.
   * @param {number} duration Seconds.
   */
  constructor(address, duration) {
    super();
    this.duration = duration;
    this.audio = address ? h("audio", { src: address, preload: "metadata" }) : null;
    this.button = h("button", { type: "button", class: "button primary play", onclick: () => this.toggle() });
    this.shown = h("span", { class: "play-time", role: "timer", "aria-live": "off" });
    this.speedChoice = h("select", { "aria-label": "Speed", onchange: () => this.#setRate() },
      SPEEDS.map((speed) => h("option", { value: String(speed), selected: speed === 1 }, `${speed}×`)));
    this.element = h("div", { class: "player", role: "group", "aria-label": "Player" },
      this.audio ? [this.audio, this.#controls()] : h("p", { class: "quiet" }, "The recording was not kept and cannot be played."));
    this.#listen();
    this.#showState();
  }

  /** Seconds from the start. */
  get time() { return this.audio ? this.audio.currentTime : this.#place; }

  get playing() { return this.audio !== null && !this.audio.paused; }

  /** @param {number} time Seconds; playback continues. */
  seek(time) {
    const place = Math.min(Math.max(0, time), this.duration);
    this.#place = place;
    if (this.audio) this.audio.currentTime = place;
    this.#tick();
  }

  /** @param {number} seconds Forward, or back where negative. */
  skip(seconds) { this.seek(this.time + seconds); }

  /** Play or pause. */
  toggle() {
    if (this.playing) this.audio.pause();
    else this.play();
  }

  /** Play from here. */
  play() {
    this.audio?.play().catch((error) => {
      if (error.name !== "AbortError") this.#fail(); // a pause came before playback began
    });
  }

  /** @param {number} steps To a faster speed, negative to a slower one. */
  changeSpeed(steps) {
    const choice = this.speedChoice;
    choice.selectedIndex = Math.min(Math.max(0, choice.selectedIndex + steps), SPEEDS.length - 1);
    this.#setRate();
    return `${choice.value}×`;
  }

  /** Stop and release the recording. */
  end() {
    cancelAnimationFrame(this.#frame);
    if (!this.audio) return;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  #controls() {
    const step = (label, name, seconds) => h("button",
      { type: "button", class: "icon-button", "aria-label": label, title: label, onclick: () => this.skip(seconds) }, icon(name));
    return [
      step("Back 5 seconds", "back", -5), this.button, step("Forward 5 seconds", "forward", 5),
      this.shown, this.speedChoice,
    ];
  }

  #listen() {
    if (!this.audio) return;
    for (const event of ["play", "pause", "ended"]) {
      this.audio.addEventListener(event, () => { this.#showState(); this.#run(); });
    }
    this.audio.addEventListener("seeked", () => this.#tick());
    this.audio.addEventListener("timeupdate", () => this.#tick()); // also fires in a hidden tab
    this.audio.addEventListener("error", () => { if (this.audio.getAttribute("src")) this.#fail(); });
  }

  #fail() {
    this.#broken = true;
    fill(this.shown, "This browser cannot play the recording.");
  }

  #setRate() {
    if (this.audio) this.audio.playbackRate = Number(this.speedChoice.value);
  }

  #run() {
    cancelAnimationFrame(this.#frame);
    if (!this.playing) return;
    this.#frame = requestAnimationFrame(() => {
      this.#tick();
      this.#run();
    });
  }

  #tick() {
    const text = `${clock(this.time)} / ${clock(this.duration)}`;
    if (!this.#broken && this.shown.textContent !== text) this.shown.textContent = text;
    this.dispatchEvent(new Event("tick"));
  }

  #showState() {
    const label = this.playing ? "Pause" : "Play";
    this.button.setAttribute("aria-label", label);
    this.button.title = `${label} (Space)`;
    fill(this.button, icon(this.playing ? "pause" : "play"));
    this.#tick();
  }
}
