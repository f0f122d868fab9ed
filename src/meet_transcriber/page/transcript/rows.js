/* How a segment is shown. */

import { fill, h } from "../dom.js";
import { clock } from "../format.js";
import { icon } from "../icons.js";
import { needsSpace } from "./model.js";

const LETTER = 8.1; // pixels that a letter is wide, for guessing heights
const LINE = 27;
const HEAD = 30;
const NARROW = 620; // pixels of the list; the same in transcript.css

/**
 * @typedef {Object} Look What rows are told about the transcript.
 * @property {import("./speakers.js").Speakers} speakers
 * @property {() => import("./model.js").Segment[]} segments
 * @property {string} address Of this view, for links to moments.
 * @property {(segment: import("./model.js").Segment) => HTMLElement|null} editor Where it is edited.
 * @property {(at: number) => Marks} marks
 *
 * @typedef {Object} Marks What is marked in a segment.
 * @property {number} threshold Words below this probability are in doubt.
 * @property {Set<number>} hits
 * @property {number} cursor The chosen word; -1 where it is in another segment.
 * @property {[number, number]|null} selected
 */

/** Makes and places rows. */
export class SegmentRows {
  #places = new WeakMap();

  /** @param {Look} look */
  constructor(look) { this.look = look; }

  /** @param {HTMLElement} row @returns {number} Its place among the segments. */
  at(row) { return this.#places.get(row) ?? -1; }

  /** @param {import("./model.js").Segment} segment @returns {HTMLElement} */
  make(segment) {
    const time = clock(segment.start);
    return h("li", { class: "segment", tabindex: -1 },
      h("div", { class: "segment-head" },
        h("button", { type: "button", class: "speaker", tabindex: -1, dataset: { act: "speaker" } }),
        h("a", { class: "moment", tabindex: -1, href: `${this.look.address}?t=${segment.start.toFixed(1)}`, dataset: { act: "moment" } }, time)),
      this.look.editor(segment) ?? h("p", { class: "words", dir: "auto", lang: segment.language }, spans(segment)),
      h("button", {
        type: "button", class: "icon-button segment-more", tabindex: -1, dataset: { act: "more" },
        "aria-label": `Actions for the segment at ${time}`, "aria-haspopup": "menu", "aria-expanded": "false",
      }, icon("more")));
  }

  /** @param {HTMLElement} row @param {number} at */
  place(row, at) {
    const segments = this.look.segments();
    const { speaker } = segments[at];
    const same = at > 0 && segments[at - 1].speaker === speaker;
    const name = this.look.speakers.name(speaker);
    const state = `${at}/${segments.length}/${same}/${name}/${speaker}`;
    if (row.dataset.state === state) return;
    row.dataset.state = state;
    this.#places.set(row, at);
    row.setAttribute("aria-posinset", at + 1);
    row.setAttribute("aria-setsize", segments.length);
    row.classList.toggle("same", same);
    row.style.setProperty("--voice", this.look.speakers.colour(speaker));
    const button = row.querySelector(".speaker");
    fill(button, this.#chip(speaker), h("bdi", null, name));
    button.title = `${name}: change the speaker`;
    this.mark(row, at);
  }

  /** @param {HTMLElement} row @param {number} at Show what is marked in it. */
  mark(row, at) {
    const { threshold, hits, cursor, selected } = this.look.marks(at);
    const { words } = this.look.segments()[at];
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

  /** A height, before it is measured. */
  guess(segment, at, width) {
    const narrow = width < NARROW;
    const column = Math.max(120, narrow ? width - 60 : width - 230);
    const lines = Math.ceil((segment.words.length * 5.6 * LETTER) / column);
    return lines * LINE + (narrow ? HEAD : 0) + 8;
  }

  #chip(speaker) {
    const number = this.look.speakers.number(speaker);
    return h("span", { class: "voice", "aria-hidden": "true" }, number < 0 ? "?" : number + 1);
  }
}

function spans({ words }) {
  return words.flatMap((word, at) => {
    const span = h("span", { class: "w", dataset: { w: at } }, word.text);
    return at && needsSpace(words[at - 1].text, word.text) ? [" ", span] : [span];
  });
}
