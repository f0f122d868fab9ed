/* The transcript on the screen: the current word, the spoken word, selection, matches, text editors. */

import { h } from "../dom.js";
import { clock } from "../format.js";
import { Cursor } from "./cursor.js";
import { TextEditor } from "./text_editor.js";
import { placeAt } from "./model.js";
import { chosenThreshold } from "./quality_panel.js";
import { SegmentRows } from "./rows.js";
import { VirtualList } from "./virtual_list.js";

const FOLLOWED_AT = 0.3; // share of the window above the spoken segment
const ROUNDING = 0.005; // browsers round the playback position
const SELECTED_MS = 100; // until a selection is complete
const SCROLLING = new Set(["PageUp", "PageDown", "Home", "End"]);

/**
 * Fires `seek` (`detail` is a time), `act` (`detail` has the `name`, place and `button` of an action in a
 * row), `selected`, `followed`, `save` and `player`.
 */
export class TranscriptView extends EventTarget {
  /** @type {import("./model.js").Segment[]} */
  segments = [];
  following = true;
  threshold = chosenThreshold();
  #typed = new Map(); // unsaved text by segment
  #spoken = { segment: -1, word: -1 };
  #spokenSpan = null;
  #pointerDown = false; // while it is, a selection is not complete
  #timer = 0;
  #release = () => { if (this.#pointerDown) { this.#pointerDown = false; this.#selectSoon(); } };
  /** Touch screens change a selection without pointer events. */
  #selectSoon = () => {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { if (!this.#pointerDown) this.#takeSelection(); }, SELECTED_MS);
  };

  /**
   * @param {import("./speakers.js").Speakers} speakers
   * @param {string} address Of the view.
   * @param {(at: number) => Set<number>} hits Matching words of a segment.
   */
  constructor(speakers, address, hits) {
    super();
    this.cursor = new Cursor(() => this.segments);
    this.rows = new SegmentRows({
      speakers, address,
      segments: () => this.segments,
      editor: (segment) => this.#editor(segment),
      marks: (at) => this.#marks(at, hits),
    });
    this.element = h("ol", { class: "segments" });
    this.scroller = h("div", { class: "transcript", role: "region", "aria-label": "Transcript", tabindex: 0 }, this.element);
    this.list = new VirtualList(this.scroller, this.element, {
      make: (segment) => this.rows.make(segment),
      place: (row, at) => this.rows.place(row, at),
      estimate: (segment, at, width) => this.rows.estimate(segment, at, width),
    });
    this.#listen();
  }

  /** @param {import("./model.js").Segment[]} segments */
  show(segments) {
    const before = this.segments;
    const active = this.scroller.contains(document.activeElement) ? document.activeElement : null;
    const edited = active && isEditor(active) ? before[this.rows.at(active.closest(".segment"))] : null;
    const carried = this.#carryTyped(segments);
    this.segments = segments;
    this.cursor.settle(before);
    this.list.show(segments);
    this.mark();
    if (!active || this.scroller.contains(document.activeElement)) return;
    if (carried.has(edited)) this.#focusEditor(segments.indexOf(carried.get(edited)), active.selectionStart);
    else this.focus();
  }

  /** Update marks: current word, matches, uncertain words. */
  mark() {
    this.list.refresh();
    for (const row of this.element.children) this.rows.mark(row, this.rows.at(row));
    this.#markSpoken();
  }

  /** Select a word and bring it into sight. @param {number} segment @param {number} [word] */
  choose(segment, word = 0) {
    this.cursor.choose(segment, word);
    this.list.reveal(this.cursor.at.segment);
    this.mark();
  }

  /** Focus the current segment. */
  focus() {
    this.list.reveal(this.cursor.at.segment);
    this.list.row(this.cursor.at.segment)?.focus({ preventScroll: true });
  }

  /** @param {number} steps Words or segments to move. @param {"word"|"segment"} by @param {boolean} [selecting] */
  move(steps, by, selecting = false) {
    if (by === "segment") this.#scrolledByHand();
    if (by === "segment") this.cursor.choose(this.cursor.at.segment + steps);
    else this.cursor.move(steps, selecting);
    this.mark();
    this.focus();
    this.dispatchEvent(new Event("selected"));
  }

  /** @param {number} time The playback position. @param {boolean} playing */
  showTime(time, playing) {
    this.#spoken = placeAt(this.segments, time + ROUNDING);
    this.#markSpoken();
    if (playing && this.following) this.#follow();
  }

  /** @param {boolean} on */
  follow(on) {
    this.following = on;
    if (on) this.#follow();
    this.dispatchEvent(new Event("followed"));
  }

  /** Edit a segment's text. @param {number} at @param {string} [text] The initial text. */
  edit(at, text) {
    const segment = this.segments[at];
    if (!segment) return;
    if (!this.#typed.has(segment)) this.#typed.set(segment, text ?? segment.text);
    this.cursor.choose(at, this.cursor.at.segment === at ? this.cursor.at.word : 0);
    this.list.remake(segment);
    this.mark();
    this.#focusEditor(at);
  }

  /** Focus the text editor of a segment. @param {number} at @param {number} [caret] */
  #focusEditor(at, caret) {
    this.list.reveal(at);
    const input = this.list.row(at)?.querySelector("textarea");
    input?.focus({ preventScroll: true });
    if (caret !== undefined) input?.setSelectionRange(caret, caret);
  }

  /** Whether there is unsaved text. */
  get typing() { return this.#typed.size > 0; }

  /** Save unsaved text and remove listeners. */
  close() {
    for (const [segment, text] of this.#typed) this.#save(segment, text.trim());
    this.list.close();
    clearTimeout(this.#timer);
    for (const name of ["pointerup", "pointercancel"]) removeEventListener(name, this.#release);
    document.removeEventListener("selectionchange", this.#selectSoon);
  }

  #marks(at, hits) {
    const { cursor } = this;
    return {
      threshold: this.threshold,
      hits: hits(at),
      cursor: cursor.at.segment === at ? cursor.at.word : -1,
      selected: cursor.selectedIn(at),
    };
  }

  /** Mark the spoken word. */
  #markSpoken() {
    const { segment, word } = this.#spoken;
    const span = segment < 0 ? null : this.list.row(segment)?.querySelector(`[data-w="${word}"]`) ?? null;
    if (span === this.#spokenSpan) return;
    this.#spokenSpan?.classList.remove("spoken");
    span?.classList.add("spoken");
    this.#spokenSpan = span;
  }

  #follow() {
    const at = this.#spoken.segment;
    if (at < 0) return;
    const box = (this.#spokenSpan ?? this.list.row(at))?.getBoundingClientRect();
    const { top, bottom, height } = this.scroller.getBoundingClientRect();
    if (box && box.top >= top && box.bottom <= bottom - 0.15 * height) return;
    this.list.reveal(at, FOLLOWED_AT);
    this.#markSpoken();
  }

  #editor(segment) {
    if (!this.#typed.has(segment)) return null;
    const editor = new TextEditor(this.#typed.get(segment), `Text of the segment at ${clock(segment.start)}`);
    editor.addEventListener("typed", () => this.#typed.set(segment, editor.text));
    editor.addEventListener("player", ({ detail }) => this.dispatchEvent(new CustomEvent("player", { detail })));
    editor.addEventListener("end", ({ detail }) => this.#end(segment, detail));
    return editor.element;
  }

  #end(segment, { save, next }) {
    const text = this.#typed.get(segment).trim();
    this.#typed.delete(segment);
    const at = this.segments.indexOf(segment);
    this.list.remake(segment);
    this.mark();
    if (save) this.#save(segment, text);
    if (next && at + 1 < this.segments.length) this.edit(at + 1);
    else this.focus();
  }

  #save(segment, text) {
    const at = this.segments.indexOf(segment);
    if (text && text !== segment.text) this.dispatchEvent(new CustomEvent("save", { detail: { at, text } }));
  }

  /** Move unsaved text of replaced segments to those at the same time. @returns {Map<any, any>} From old to new segments. */
  #carryTyped(segments) {
    const here = new Set(segments);
    const carried = new Map();
    for (const [segment, text] of [...this.#typed]) {
      if (here.has(segment)) continue;
      this.#typed.delete(segment);
      const other = segments[placeAt(segments, segment.start).segment];
      if (!other || this.#typed.has(other)) continue;
      this.#typed.set(other, text);
      carried.set(segment, other);
    }
    return carried;
  }

  #listen() {
    const { element, scroller } = this;
    element.addEventListener("click", (event) => this.#clicked(event));
    element.addEventListener("dblclick", (event) => {
      const place = this.#placeOf(event.target);
      if (place) this.dispatchEvent(new CustomEvent("act", { detail: { name: "edit", at: place.segment } }));
    });
    element.addEventListener("pointerdown", () => { this.#pointerDown = true; });
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, this.#release);
    document.addEventListener("selectionchange", this.#selectSoon);
    element.addEventListener("focusin", ({ target }) => this.#entered(target.closest(".segment")));
    for (const name of ["wheel", "touchmove"]) scroller.addEventListener(name, () => this.#scrolledByHand(), { passive: true });
    scroller.addEventListener("pointerdown", ({ target }) => { if (target === scroller) this.#scrolledByHand(); });
    scroller.addEventListener("keydown", ({ key }) => { if (SCROLLING.has(key)) this.#scrolledByHand(); });
  }

  #scrolledByHand() { if (this.following) this.follow(false); }

  /** Only buttons of the focused row are in the tab order. */
  #entered(row) {
    if (!row || row === this.active) return;
    for (const each of this.active?.querySelectorAll("[data-act]") ?? []) each.tabIndex = -1;
    for (const each of row.querySelectorAll("[data-act]")) each.tabIndex = 0;
    this.active = row;
    if (this.cursor.at.segment !== this.rows.at(row)) {
      this.cursor.choose(this.rows.at(row));
      this.mark();
    }
  }

  #clicked(event) {
    const { target } = event;
    const button = target.closest("[data-act]");
    const row = target.closest(".segment");
    if (button) {
      event.preventDefault();
      const at = this.rows.at(row);
      if (button.dataset.act === "moment") this.dispatchEvent(new CustomEvent("seek", { detail: this.segments[at].start }));
      else this.dispatchEvent(new CustomEvent("act", { detail: { name: button.dataset.act, at, button } }));
      return;
    }
    const place = this.#placeOf(target);
    if (!place || !document.getSelection().isCollapsed) return;
    this.cursor.choose(place.segment, place.word);
    this.mark();
    row.focus({ preventScroll: true });
    this.dispatchEvent(new Event("selected"));
    this.dispatchEvent(new CustomEvent("seek", { detail: this.segments[place.segment].words[place.word].start }));
  }

  /** Take over the browser's selection. */
  #takeSelection() {
    const selection = document.getSelection();
    if (selection.isCollapsed || !selection.rangeCount) return;
    const range = selection.getRangeAt(0);
    const [from, to] = [this.#wordAt(range.startContainer, 1), this.#wordAt(range.endContainer, -1)];
    if (!from || !to) return;
    this.cursor.select(from, to);
    this.mark();
    this.dispatchEvent(new Event("selected"));
  }

  /** The word of a node; for a space between words the next or the previous one. */
  #wordAt(node, step) {
    const element = node.nodeType === Node.TEXT_NODE && node.parentElement.matches(".words")
      ? (step > 0 ? node.nextElementSibling : node.previousElementSibling) : node;
    return this.#placeOf(element);
  }

  #placeOf(node) {
    const span = (node?.nodeType === Node.TEXT_NODE ? node.parentElement : node)?.closest(".w");
    const row = span?.closest(".segment");
    return row && this.element.contains(row) ? { segment: this.rows.at(row), word: Number(span.dataset.w) } : null;
  }
}

function isEditor(element) {
  return element.matches("textarea, input");
}
