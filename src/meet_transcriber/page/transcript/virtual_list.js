/* A long list of which only the rows in sight, and those in use, are in the document. */

import { RowOffsets } from "./row_offsets.js";

const AHEAD = 600; // pixels above and below that are made before they are seen

/**
 * @typedef {Object} Rows How the items are shown.
 * @property {(item: any) => HTMLElement} make
 * @property {(row: HTMLElement, at: number) => void} place Told where a row is; after each change.
 * @property {(item: any, at: number, width: number) => number} guess A height, before it is measured.
 */

export class VirtualList {
  #items = [];
  #offsets = new RowOffsets();
  #rows = new Map(); // by item
  #width = 0;
  #anchor = { at: 0, above: 0 };
  #places = new Map(); // of all items
  #seen = new WeakMap(); // the height that each row had
  #frame = 0;

  /**
   * @param {HTMLElement} scroller What scrolls.
   * @param {HTMLElement} list In it; its rows lie one above the other, each at its own place.
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

  /** Give up watching. */
  close() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  /** How many rows are in the document. */
  get shown() { return this.#rows.size; }

  /** @param {number} at @returns {HTMLElement|undefined} Its row, if it is in the document. */
  row(at) { return this.#rows.get(this.#items[at]); }

  /**
   * Show other items; what is the same at the beginning and the end stays, and so does the place.
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
      fresh.map((item, at) => this.how.guess(item, same + at, this.#width)));
    const grown = items.length - old.length;
    if (old.length && this.#anchor.at >= old.length - tail) this.#anchor.at += grown;
    this.#anchor.at = Math.min(this.#anchor.at, Math.max(0, items.length - 1));
    this.#settle();
  }

  /** Make the row of an item anew. */
  remake(item) {
    const old = this.#rows.get(item);
    if (!old) return;
    const row = this.how.make(item);
    row.style.top = old.style.top;
    this.sizes.unobserve(old);
    this.sizes.observe(row);
    this.#rows.set(item, row);
    old.replaceWith(row);
    this.#settle();
  }

  /** Tell every row in the document its place again. */
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
   * @param {number} [share] Where in the window it shall begin, 0 (top) to 1; as little as possible
   *   where it is left out.
   */
  reveal(at, share) {
    if (!this.#items.length) return;
    for (let tries = 0; tries < 3; tries += 1) { // rows that come into sight are measured
      const before = this.scroller.scrollTop;
      this.scroller.scrollTop = this.#wanted(at, share);
      this.#note();
      this.#settle();
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
    this.#note();
    this.#settle();
  }

  /** Remember which row is at the top, so that it stays when heights above it become known. */
  #note() {
    const at = this.#offsets.at(this.scroller.scrollTop);
    this.#anchor = { at, above: this.scroller.scrollTop - this.#offsets.offset(at) };
  }

  #settle() {
    for (let tries = 0; tries < 4; tries += 1) {
      this.#hold();
      this.#mount();
      if (!this.#measured()) break;
    }
    this.#hold();
    for (const [at, item] of this.#inDocument()) {
      const row = this.#rows.get(item);
      const top = `${this.#offsets.offset(at)}px`;
      if (row.style.top !== top) row.style.top = top;
      this.how.place(row, at);
    }
  }

  /** Keep the row at the top where it is. */
  #hold() {
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

  /** Places and items of rows that are, or shall be, in the document, in order. */
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

  /** Take the heights of rows in the document; whether any was another. */
  #measured() {
    let news = false;
    for (const [at, item] of this.#inDocument()) {
      const row = this.#rows.get(item);
      this.how.place(row, at);
      const height = row.offsetHeight;
      this.#seen.set(row, height);
      news = this.#offsets.measure(at, height) || news;
    }
    return news;
  }

  /** Rows grew or the window did; told a frame later, as moving rows now would be told again. */
  #resized(entries) {
    if (entries.some(({ target }) => target === this.scroller || target.offsetHeight !== this.#seen.get(target))) {
      cancelAnimationFrame(this.#frame);
      this.#frame = requestAnimationFrame(() => this.#fit());
    }
  }

  #fit() {
    if (!this.#items.length) return;
    if (this.list.clientWidth !== this.#width) {
      this.#width = this.list.clientWidth;
      this.#offsets = new RowOffsets(this.#items.map((item, at) => this.how.guess(item, at, this.#width)));
    }
    this.#settle();
  }
}

/** Whether a row has the focus or an end of what is selected. */
function inUse(row) {
  const selection = document.getSelection();
  return row.contains(document.activeElement)
    || (selection !== null && !selection.isCollapsed
      && (row.contains(selection.anchorNode) || row.contains(selection.focusNode)));
}
