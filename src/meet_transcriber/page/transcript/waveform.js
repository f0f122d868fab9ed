/* The waveform: the whole recording, and for long ones a close-up around the position. */

import { h } from "../dom.js";
import { clock } from "../format.js";
import { placeAt } from "./model.js";
import { FLAT } from "./peaks.js";

const CLOSE_SECONDS = 40; // width of the close-up
const LONG_SECONDS = 240; // shortest recording with a close-up
const STEPS = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -60, PageUp: 60 };
const BAR = 3; // distance of bars in pixels

export class Waveform {
  #segments = [];
  #peaks = FLAT;
  #drawn = -1;

  /**
   * @param {import("./player.js").Player} player
   * @param {import("./speakers.js").Speakers} speakers
   */
  constructor(player, speakers) {
    this.player = player;
    this.speakers = speakers;
    this.whole = h("canvas", { class: "wave-picture", "aria-hidden": "true" });
    this.head = h("div", { class: "wave-head" });
    this.slider = h("div", {
      class: "wave-whole", role: "slider", tabindex: 0, "aria-label": "Position in the recording",
      "aria-valuemin": 0, "aria-valuemax": Math.round(player.duration),
      onkeydown: (event) => this.#key(event), onpointerdown: (event) => this.#drag(event, this.slider, () => 0, player.duration),
    }, this.whole, this.head);
    this.close = h("canvas", { class: "wave-picture", "aria-hidden": "true" });
    this.strip = h("div", {
      class: "wave-close", hidden: player.duration < LONG_SECONDS,
      onpointerdown: (event) => this.#drag(event, this.strip, () => this.#closeStart, CLOSE_SECONDS),
    }, this.close, h("div", { class: "wave-head wave-middle" }));
    this.element = h("div", { class: "wave" }, this.strip, this.slider);
    this.sizes = new ResizeObserver(() => requestAnimationFrame(() => this.draw()));
    this.sizes.observe(this.element);
    this.redraw = () => this.draw();
    document.addEventListener("themechange", this.redraw);
  }

  /** Remove listeners. */
  end() {
    this.sizes.disconnect();
    document.removeEventListener("themechange", this.redraw);
  }

  /** @param {import("./peaks.js").Peaks} peaks */
  showPeaks(peaks) {
    this.#peaks = peaks;
    this.draw();
  }

  /** @param {import("./model.js").Segment[]} segments Their speakers give the colours. */
  show(segments) {
    this.#segments = segments;
    this.draw();
  }

  /** Redraw everything. */
  draw() {
    this.#paint(this.whole, 0, this.player.duration);
    this.#drawn = -1;
    this.tick(this.player.time);
  }

  /** @param {number} time The playback position. */
  tick(time) {
    const share = this.player.duration ? Math.min(1, time / this.player.duration) : 0;
    this.head.style.left = `${100 * share}%`;
    if (Math.abs(time - this.#drawn) < 0.05) return; // at most 20 frames per second
    this.#drawn = time;
    if (!this.strip.hidden) this.#paint(this.close, this.#closeStart, this.#closeStart + CLOSE_SECONDS);
    if (Math.round(time) === Number(this.slider.getAttribute("aria-valuenow") ?? -1)) return;
    this.slider.setAttribute("aria-valuenow", Math.round(time));
    this.slider.setAttribute("aria-valuetext", `${clock(time)} of ${clock(this.player.duration)}`);
  }

  get #closeStart() { return this.player.time - CLOSE_SECONDS / 2; }

  #paint(canvas, from, to) {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const paper = canvas.getContext("2d");
    paper.scale(ratio, ratio);
    for (const [number, path] of this.#bars(from, to, Math.floor(width / BAR), height)) {
      paper.fillStyle = this.speakers.ink(number);
      paper.fill(path);
    }
  }

  /** The bars of each speaker, by number. */
  #bars(from, to, count, height) {
    const paths = new Map();
    this.#peaks.columns(from, to, count).forEach((loud, column) => {
      const time = from + ((column + 0.5) * (to - from)) / count;
      if (time < 0 || time > this.player.duration) return;
      const number = this.speakers.number(this.#speakerAt(time));
      const path = paths.get(number) ?? new Path2D();
      paths.set(number, path);
      const tall = Math.max(1, Math.sqrt(loud) * (height - 4));
      path.rect(column * BAR, (height - tall) / 2, BAR - 1, tall);
    });
    return paths;
  }

  #speakerAt(time) {
    const segment = this.#segments[placeAt(this.#segments, time).segment];
    return segment && time <= segment.end + 0.3 ? segment.speaker : null;
  }

  #key(event) {
    const { key } = event;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (key in STEPS) this.player.skip(STEPS[key]);
    else if (key === "Home") this.player.seek(0);
    else if (key === "End") this.player.seek(this.player.duration);
    else return;
    event.preventDefault();
  }

  #drag(event, element, start, seconds) {
    if (event.button) return;
    const from = start();
    const box = element.getBoundingClientRect();
    const seek = ({ clientX }) => this.player.seek(from + ((clientX - box.left) / box.width) * seconds);
    element.setPointerCapture(event.pointerId);
    element.addEventListener("pointermove", seek);
    element.addEventListener("lostpointercapture", () => element.removeEventListener("pointermove", seek), { once: true });
    seek(event);
  }
}
