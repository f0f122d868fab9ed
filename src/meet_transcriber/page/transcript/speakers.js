/* The speakers: labels, names, and a number for each that gives its colour and key. */

const COLOURS = 8;

export class Speakers {
  #numbers = new Map();
  #present = new Set();

  /** @param {string[]} labels In order of first speech. @param {Object<string, string>} names */
  constructor(labels, names) {
    this.names = names;
    this.update(labels);
  }

  /** @param {string[]} labels The present speakers; new ones get the next numbers, numbers never change. */
  update(labels) {
    this.#present = new Set(labels);
    for (const label of labels) this.reserve(label);
  }

  /** @param {string} label Number it, so that `newLabel` does not return it again. */
  reserve(label) {
    if (!this.#numbers.has(label)) this.#numbers.set(label, this.#numbers.size);
  }

  /** @returns {string[]} Labels of the present speakers, by number. */
  get labels() { return [...this.#numbers.keys()].filter((label) => this.#present.has(label)); }

  /** @param {number} number @returns {string|undefined} The present speaker with this number. */
  numbered(number) { return this.labels.find((label) => this.number(label) === number); }

  /** @param {string|null} label @returns {number} -1 for an unknown speaker. */
  number(label) { return this.#numbers.get(label) ?? -1; }

  /** @param {string|null} label @returns {string} */
  name(label) { return label === null ? "Unknown" : this.names[label] || label; }

  /** @returns {string} An unused label. */
  newLabel() {
    for (let at = 0; ; at += 1) {
      const label = `SPEAKER_${String(at).padStart(2, "0")}`;
      if (!this.#numbers.has(label)) return label;
    }
  }

  /** @param {string|null} label @returns {string} A CSS colour. */
  colour(label) { return property(this.number(label)); }

  /** @param {number} number @returns {string} The colour of a number, resolved for a canvas. */
  ink(number) {
    return getComputedStyle(document.documentElement).getPropertyValue(property(number).slice(4, -1));
  }
}

function property(number) {
  return number < 0 ? "var(--text-quiet)" : `var(--speaker-${number % COLOURS})`;
}
