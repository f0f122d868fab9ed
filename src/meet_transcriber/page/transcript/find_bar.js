/* Find and replace; the browser's own search sees only the rows in the document. */

import { h } from "../dom.js";
import { counted } from "../format.js";
import { icon } from "../icons.js";
import { matches } from "./find.js";

/** Fires `found` (the matches changed), `show` (`detail` is the match to go to) and `replace`. */
export class FindBar extends EventTarget {
  /** @type {import("./find.js").Match[]} */
  matches = [];
  current = -1;
  #bySegment = new Map();

  /** @param {() => import("./model.js").Segment[]} segments @param {boolean} mayEdit */
  constructor(segments, mayEdit) {
    super();
    this.segments = segments;
    this.query = h("input", {
      type: "search", "aria-label": "Find in this transcript", placeholder: "Find", dir: "auto", autocomplete: "off",
      oninput: () => this.#search(true), onkeydown: (event) => this.#key(event),
    });
    this.count = h("output", { class: "quiet find-count" });
    this.put = h("input", { type: "text", "aria-label": "Replace with", placeholder: "Replace with", dir: "auto", autocomplete: "off" });
    this.everywhere = h("button", { type: "button", class: "button small", onclick: () => this.#replace() }, "Replace everywhere");
    this.element = h("search", { class: "find-bar", hidden: true, "aria-label": "Find and replace" },
      h("div", { class: "find-part" }, this.query, this.count,
        this.#button("up", "Previous match", () => this.step(-1)), this.#button("down", "Next match", () => this.step(1))),
      mayEdit && h("div", { class: "find-part" }, this.put, this.everywhere),
      this.#button("close", "Close find", () => this.close()));
  }

  get open() { return !this.element.hidden; }

  /** Show it, ready to type. */
  show() {
    this.element.hidden = false;
    this.query.focus();
    this.query.select();
    this.#search(false);
  }

  /** Hide it and its marks. */
  close() {
    this.element.hidden = true;
    this.#set([]);
    this.dispatchEvent(new Event("closed"));
  }

  /** Search again after segments have changed. */
  refresh() { if (this.open) this.#search(false); }

  /** @param {number} steps To the next match, or back where negative. */
  step(steps) {
    const count = this.matches.length;
    if (!count) return;
    this.current = (this.current + steps + count) % count;
    this.#showCount();
    this.dispatchEvent(new CustomEvent("show", { detail: this.matches[this.current] }));
  }

  /** @param {number} segment @returns {Set<number>} Its words within matches. */
  wordsIn(segment) { return this.#bySegment.get(segment) ?? NONE; }

  #search(moving) {
    const last = this.matches[this.current];
    this.#set(matches(this.segments(), this.query.value));
    if (last && !moving) this.current = this.matches.findIndex((each) => each.segment >= last.segment);
    else if (moving && this.matches.length) this.step(1);
    this.#showCount();
  }

  #set(found) {
    this.matches = found;
    this.current = -1;
    this.#bySegment = new Map();
    for (const { segment, from, to } of found) {
      const words = this.#bySegment.get(segment) ?? new Set();
      for (let at = from; at <= to; at += 1) words.add(at);
      this.#bySegment.set(segment, words);
    }
    this.dispatchEvent(new Event("found"));
  }

  #showCount() {
    const count = this.matches.length;
    this.everywhere.disabled = count === 0;
    if (!this.query.value.trim()) this.count.value = "";
    else if (!count) this.count.value = "No matches";
    else this.count.value = this.current < 0 ? counted(count, "match", "matches") : `${this.current + 1} of ${count}`;
  }

  #replace() {
    this.dispatchEvent(new CustomEvent("replace", { detail: { find: this.query.value.trim(), put: this.put.value.trim() } }));
  }

  #key(event) {
    if (event.key === "Escape") this.close();
    else if (event.key === "Enter" && !event.isComposing) this.step(event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
  }

  #button(name, label, run) {
    return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick: run }, icon(name));
  }
}

const NONE = new Set();
