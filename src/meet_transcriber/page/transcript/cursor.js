/* The current word and the selection, kept in the model so that scrolling does not lose them. */

/** @typedef {{segment: number, word: number}} Place */

export class Cursor {
  /** @type {Place} */
  at = { segment: 0, word: 0 };
  /** @type {Place|null} The other end of the selection. */
  from = null;

  /** @param {() => import("./model.js").Segment[]} segments */
  constructor(segments) { this.segments = segments; }

  /** @param {number} segment @param {number} [word] */
  choose(segment, word = 0) {
    this.from = null;
    this.at = this.#within(segment, word);
  }

  /** Select from one place to another. @param {Place} from @param {Place} to */
  select(from, to) {
    this.from = from;
    this.at = to;
  }

  /** Clear the selection. */
  clearSelection() { this.from = null; }

  /** @param {number} steps Words to go; negative goes back. @param {boolean} selecting */
  move(steps, selecting) {
    const next = { segment: this.at.segment, word: this.at.word + steps };
    const segments = this.segments();
    if (next.word < 0 && next.segment > 0) {
      next.segment -= 1;
      next.word = segments[next.segment].words.length - 1;
    } else if (next.word >= segments[next.segment].words.length && next.segment + 1 < segments.length) {
      next.segment += 1;
      next.word = 0;
    }
    const from = selecting ? this.from ?? this.at : null;
    this.at = this.#within(next.segment, next.word);
    this.from = from;
  }

  /** Follow the current words when segments have changed. @param {import("./model.js").Segment[]} before */
  settle(before) {
    const moved = (place) => {
      const segment = place ? this.segments().indexOf(before[place.segment]) : -1;
      return segment < 0 ? null : { segment, word: place.word };
    };
    const at = moved(this.at);
    this.from = at && moved(this.from);
    this.at = at ?? this.#within(this.at.segment, this.at.word);
  }

  /** The selection in order, null if there is none. @returns {[Place, Place]|null} */
  get selection() {
    if (!this.from) return null;
    const order = this.from.segment - this.at.segment || this.from.word - this.at.word;
    return order <= 0 ? [this.from, this.at] : [this.at, this.from];
  }

  /** @param {number} segment @returns {[number, number]|null} Its first and last selected word. */
  selectedIn(segment) {
    if (!this.selection) return null;
    const [from, to] = this.selection;
    if (segment < from.segment || segment > to.segment) return null;
    return [segment === from.segment ? from.word : 0, segment === to.segment ? to.word : Infinity];
  }

  #within(segment, word) {
    const segments = this.segments();
    const at = Math.max(0, Math.min(segment, segments.length - 1));
    return { segment: at, word: Math.max(0, Math.min(word, (segments[at]?.words.length ?? 1) - 1)) };
  }
}
