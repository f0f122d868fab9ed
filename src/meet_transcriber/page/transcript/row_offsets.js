/* Where each row of a long list is, when some heights are measured and the others guessed. */

import { lastNotAbove } from "./model.js";

export class RowOffsets {
  #heights = [];
  #offsets = new Float64Array(1);
  #right = 0; // offsets up to this place are right

  /** @param {number[]} heights */
  constructor(heights = []) {
    this.#heights = heights;
    this.#offsets = new Float64Array(heights.length + 1);
  }

  get length() { return this.#heights.length; }

  /** Of all rows together. */
  get total() { return this.offset(this.length); }

  /** @param {number} at @returns {number} Where a row begins. */
  offset(at) {
    for (; this.#right < at; this.#right += 1) {
      this.#offsets[this.#right + 1] = this.#offsets[this.#right] + this.#heights[this.#right];
    }
    return this.#offsets[at];
  }

  /** @param {number} at @param {number} height @returns {boolean} Whether that was news. */
  measure(at, height) {
    if (this.#heights[at] === height) return false;
    this.#heights[at] = height;
    this.#right = Math.min(this.#right, at);
    return true;
  }

  /** @param {number} at @param {number} removed @param {number[]} fresh */
  splice(at, removed, fresh) {
    this.#heights.splice(at, removed, ...fresh);
    this.#offsets = this.#offsets.slice(0, at + 1);
    const offsets = new Float64Array(this.#heights.length + 1);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
    this.#right = Math.min(this.#right, at);
  }

  /** @param {number} y @returns {number} The row at a height; the first or last one beyond them. */
  at(y) {
    const found = lastNotAbove(this.length, (at) => this.offset(at), y);
    return Math.max(0, Math.min(found, this.length - 1));
  }
}
