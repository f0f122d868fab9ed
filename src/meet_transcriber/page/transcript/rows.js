/* Rows of the transcript. */

import { fill, h } from "../dom.js";
import { clock } from "../format.js";
import { icon } from "../icons.js";
import { needsSpace } from "./model.js";

const LETTER = 8.1; // width of a letter in pixels, to estimate heights
const LINE = 27;
const HEAD = 30;
const NARROW = 620; // width of the list in pixels, as in transcript.css

/**
 * @typedef {Object} RowContext
 * @property {import("./speakers.js").Speakers} speakers
 * @property {() => import("./model.js").Segment[]} segments
 * @property {string} address Of the view, for links to moments.
 * @property {(segment: import("./model.js").Segment) => HTMLElement|null} editor The open text editor of a segment.
 * @property {(at: number) => Marks} marks
 *
 * @typedef {Object} Marks Marks of a segment.
 * @property {number} threshold Words below this probability are uncertain.
 * @property {Set<number>} hits
 * @property {number} cursor The current word; -1 if it is in another segment.
 * @property {[number, number]|null} selected
 */

/** Creates and updates rows. */
export class SegmentRows {
  #places = new WeakMap();

  /** @param {RowContext} context */
  constructor(context) { this.context = context; }

  /** @param {HTMLElement} row @returns {number} Its place among the segments. */
  at(row) { return this.#places.get(row) ?? -1; }

  /** @param {import("./model.js").Segment} segment @returns {HTMLElement} */
  make(segment) {
    const time = clock(segment.start);
    return h("li", { class: "segment", tabindex: -1 },
      h("div", { class: "segment-head" },
        h("button", { type: "button", class: "speaker", tabindex: -1, dataset: { act: "speaker" } }),
        h("a", { class: "moment", tabindex: -1, href: `${this.context.address}?t=${segment.start.toFixed(1)}`, dataset: { act: "moment" } }, time)),
      this.context.editor(segment) ?? h("p", { class: "words", dir: "auto", lang: segment.language }, spans(segment)),
      h("button", {
        type: "button", class: "icon-button segment-more", tabindex: -1, dataset: { act: "more" },
        "aria-label": `Actions for the segment at ${time}`, "aria-haspopup": "menu", "aria-expanded": "false",
      }, icon("more")));
  }

  /** @param {HTMLElement} row @param {number} at */
  place(row, at) {
    const segments = this.context.segments();
    const { speaker } = segments[at];
    const same = at > 0 && segments[at - 1].speaker === speaker;
    const name = this.context.speakers.name(speaker);
    const state = `${at}/${segments.length}/${same}/${name}/${speaker}`;
    if (row.dataset.state === state) return;
    row.dataset.state = state;
    this.#places.set(row, at);
    row.setAttribute("aria-posinset", at + 1);
    row.setAttribute("aria-setsize", segments.length);
    row.classList.toggle("same", same);
    row.style.setProperty("--voice", this.context.speakers.colour(speaker));
    const button = row.querySelector(".speaker");
    fill(button, this.#chip(speaker), h("bdi", null, name));
    button.title = `${name}: change speaker`;
    this.mark(row, at);
  }

  /** @param {HTMLElement} row @param {number} at Update its marks. */
  mark(row, at) {
    const { threshold, hits, cursor, selected } = this.context.marks(at);
    const { words } = this.context.segments()[at];
    row.querySelectorAll(".w").forEach((span, place) => {
      const word = words[place];
      const list = span.classList;
      list.toggle("doubtful", word.probability !== null && word.probability < threshold);
      list.toggle("overlap", word.overlap === true);
      list.toggle("found", hits.has(place));
      list.toggle("chosen", place === cursor);
      list.toggle("selected", selected !== null && selected[0] <= place && place <= selected[1]);
    });
  }

  /** An estimated height. */
  estimate(segment, at, width) {
    const narrow = width < NARROW;
    const column = Math.max(120, narrow ? width - 60 : width - 230);
    const lines = Math.ceil((segment.words.length * 5.6 * LETTER) / column);
    return lines * LINE + (narrow ? HEAD : 0) + 8;
  }

  #chip(speaker) {
    const number = this.context.speakers.number(speaker);
    return h("span", { class: "voice", "aria-hidden": "true" }, number < 0 ? "?" : number + 1);
  }
}

function spans({ words }) {
  return words.flatMap((word, at) => {
    const span = h("span", { class: "w", dataset: { w: at } }, word.text);
    return at && needsSpace(words[at - 1].text, word.text) ? [" ", span] : [span];
  });
}
