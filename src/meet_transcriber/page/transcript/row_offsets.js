/* The offset of each row of a long list, from measured and estimated heights. */

import { lastNotAbove } from "./model.js";

export class RowOffsets {
  #heights = [];
  #offsets = new Float64Array(1);
  #valid = 0; // offsets up to this row are valid

  /** @param {number[]} heights */
  constructor(heights = []) {
    this.#heights = heights;
    this.#offsets = new Float64Array(heights.length + 1);
  }

  get length() { return this.#heights.length; }

  /** The height of all rows. */
  get total() { return this.offset(this.length); }

  /** @param {number} at @returns {number} The top of a row. */
  offset(at) {
    for (; this.#valid < at; this.#valid += 1) {
      this.#offsets[this.#valid + 1] = this.#offsets[this.#valid] + this.#heights[this.#valid];
    }
    return this.#offsets[at];
  }

  /** @param {number} at @param {number} height @returns {boolean} Whether it changed. */
  measure(at, height) {
    if (this.#heights[at] === height) return false;
    this.#heights[at] = height;
    this.#valid = Math.min(this.#valid, at);
    return true;
  }

  /** @param {number} at @param {number} removed @param {number[]} fresh */
  splice(at, removed, fresh) {
    this.#heights.splice(at, removed, ...fresh);
    this.#offsets = this.#offsets.slice(0, at + 1);
    const offsets = new Float64Array(this.#heights.length + 1);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
    this.#valid = Math.min(this.#valid, at);
  }

  /** @param {number} y @returns {number} The row at an offset, clamped to the list. */
  at(y) {
    const found = lastNotAbove(this.length, (at) => this.offset(at), y);
    return Math.max(0, Math.min(found, this.length - 1));
  }
}
