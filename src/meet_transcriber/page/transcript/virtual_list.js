/* A long list; only rows in sight or in use are in the document. */

import { RowOffsets } from "./row_offsets.js";

const AHEAD = 600; // pixels of rows above and below the window

/**
 * @typedef {Object} Rows
 * @property {(item: any) => HTMLElement} make
 * @property {(row: HTMLElement, at: number) => void} place Called with the place of a row after each change.
 * @property {(item: any, at: number, width: number) => number} estimate A height, until it is measured.
 */

export class VirtualList {
  #items = [];
  #offsets = new RowOffsets();
  #rows = new Map(); // by item
  #width = 0;
  #anchor = { at: 0, above: 0 };
  #places = new Map(); // by item
  #measuredHeights = new WeakMap(); // by row
  #frame = 0;

  /**
   * @param {HTMLElement} scroller What scrolls.
   * @param {HTMLElement} list Inside the scroller; rows are positioned absolutely.
   * @param {Rows} how
   */
  constructor(scroller, list, how) {
    this.scroller = scroller;
    this.list = list;
    this.how = how;
    this.sizes = new ResizeObserver((entries) => this.#resized(entries));
    this.sizes.observe(scroller);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** Remove observers. */
  close() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  /** How many rows are in the document. */
  get shown() { return this.#rows.size; }

  /** @param {number} at @returns {HTMLElement|undefined} Its row if it is in the document. */
  row(at) { return this.#rows.get(this.#items[at]); }

  /**
   * Show other items; equal items at both ends keep their rows and the scroll position.
   * @param {any[]} items
   */
  show(items) {
    const old = this.#items;
    const least = Math.min(old.length, items.length);
    let [same, tail] = [0, 0];
    while (same < least && old[same] === items[same]) same += 1;
    while (tail < least - same && old[old.length - 1 - tail] === items[items.length - 1 - tail]) tail += 1;
    const fresh = items.slice(same, items.length - tail);
    const kept = new Set(fresh);
    for (const item of old.slice(same, old.length - tail)) if (!kept.has(item)) this.#drop(item);
    this.#width = this.list.clientWidth;
    this.#items = items;
    this.#places = new Map(items.map((item, at) => [item, at]));
    this.#offsets.splice(same, old.length - tail - same,
      fresh.map((item, at) => this.how.estimate(item, same + at, this.#width)));
    const grown = items.length - old.length;
    if (old.length && this.#anchor.at >= old.length - tail) this.#anchor.at += grown;
    this.#anchor.at = Math.min(this.#anchor.at, Math.max(0, items.length - 1));
    this.#layOut();
  }

  /** Create the row of an item again. */
  remake(item) {
    const old = this.#rows.get(item);
    if (!old) return;
    const row = this.how.make(item);
    row.style.top = old.style.top;
    this.sizes.unobserve(old);
    this.sizes.observe(row);
    this.#rows.set(item, row);
    old.replaceWith(row);
    this.#layOut();
  }

  /** Place every row in the document again. */
  refresh() {
    for (const [at, item] of this.#inDocument()) this.how.place(this.#rows.get(item), at);
  }

  /** @returns {number[]} The first and last place in sight. */
  get inSight() {
    const top = this.scroller.scrollTop;
    return [this.#offsets.at(top), this.#offsets.at(top + this.scroller.clientHeight - 1)];
  }

  /**
   * Bring a row into sight.
   * @param {number} at
   * @param {number} [share] Where in the window its top goes, 0 to 1; scrolls as little as possible
   *   if left out.
   */
  reveal(at, share) {
    if (!this.#items.length) return;
    for (let tries = 0; tries < 3; tries += 1) { // rows are measured when they come into sight
      const before = this.scroller.scrollTop;
      this.scroller.scrollTop = this.#wanted(at, share);
      this.#setAnchor();
      this.#layOut();
      if (Math.abs(this.scroller.scrollTop - before) < 1 && this.row(at)) break;
    }
  }

  #wanted(at, share) {
    const [top, bottom] = [this.#offsets.offset(at), this.#offsets.offset(at + 1)];
    const { scrollTop, clientHeight } = this.scroller;
    if (share !== undefined) return top - share * clientHeight;
    if (top < scrollTop || bottom - top > clientHeight) return top;
    return bottom > scrollTop + clientHeight ? bottom - clientHeight : scrollTop;
  }

  #scrolled() {
    this.#setAnchor();
    this.#layOut();
  }

  /** Remember the row at the top, to keep it in place when rows above are measured. */
  #setAnchor() {
    const at = this.#offsets.at(this.scroller.scrollTop);
    this.#anchor = { at, above: this.scroller.scrollTop - this.#offsets.offset(at) };
  }

  #layOut() {
    for (let tries = 0; tries < 4; tries += 1) {
      this.#keepAnchor();
      this.#mount();
      if (!this.#measure()) break;
    }
    this.#keepAnchor();
    for (const [at, item] of this.#inDocument()) {
      const row = this.#rows.get(item);
      const top = `${this.#offsets.offset(at)}px`;
      if (row.style.top !== top) row.style.top = top;
      this.how.place(row, at);
    }
  }

  /** Keep the anchor row in place. */
  #keepAnchor() {
    const total = `${this.#offsets.total}px`;
    if (this.list.style.height !== total) this.list.style.height = total;
    const wanted = this.#offsets.offset(this.#anchor.at) + this.#anchor.above;
    if (Math.abs(wanted - this.scroller.scrollTop) >= 1) this.scroller.scrollTop = wanted;
  }

  #mount() {
    const top = this.#offsets.offset(this.#anchor.at) + this.#anchor.above;
    const first = this.#offsets.at(top - AHEAD);
    const last = this.#offsets.at(top + this.scroller.clientHeight + AHEAD);
    const wanted = new Set(this.#items.slice(first, last + 1));
    for (const [item, row] of this.#rows) {
      if (!wanted.has(item) && !inUse(row)) this.#drop(item);
    }
    let next = this.list.firstElementChild;
    for (const [, item] of this.#inDocument(wanted)) {
      const row = this.#rows.get(item) ?? this.#make(item);
      if (row === next) next = next.nextElementSibling;
      else this.list.insertBefore(row, next);
    }
  }

  /** Places and items of rows that are or will be in the document, in order. */
  #inDocument(more = new Set()) {
    const items = new Set([...this.#rows.keys(), ...more]);
    return [...items].map((item) => [this.#places.get(item), item]).sort((a, b) => a[0] - b[0]);
  }

  #make(item) {
    const row = this.how.make(item);
    this.#rows.set(item, row);
    this.sizes.observe(row);
    return row;
  }

  #drop(item) {
    const row = this.#rows.get(item);
    if (!row) return;
    this.sizes.unobserve(row);
    row.remove();
    this.#rows.delete(item);
  }

  /** Measure the rows in the document. @returns {boolean} Whether a height changed. */
  #measure() {
    let changed = false;
    for (const [at, item] of this.#inDocument()) {
      const row = this.#rows.get(item);
      this.how.place(row, at);
      const height = row.offsetHeight;
      this.#measuredHeights.set(row, height);
      changed = this.#offsets.measure(at, height) || changed;
    }
    return changed;
  }

  /** Rows or the window were resized; handled in the next frame to avoid observer loops. */
  #resized(entries) {
    if (entries.some(({ target }) => target === this.scroller || target.offsetHeight !== this.#measuredHeights.get(target))) {
      cancelAnimationFrame(this.#frame);
      this.#frame = requestAnimationFrame(() => this.#fit());
    }
  }

  #fit() {
    if (!this.#items.length) return;
    if (this.list.clientWidth !== this.#width) {
      this.#width = this.list.clientWidth;
      this.#offsets = new RowOffsets(this.#items.map((item, at) => this.how.estimate(item, at, this.#width)));
    }
    this.#layOut();
  }
}

/** Whether a row has the focus or an end of the selection. */
function inUse(row) {
  const selection = document.getSelection();
  return row.contains(document.activeElement)
    || (selection !== null && !selection.isCollapsed
      && (row.contains(selection.anchorNode) || row.contains(selection.focusNode)));
}
