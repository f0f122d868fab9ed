/* Who speaks: labels, people's names, and the number that gives each a colour and a key. */

const COLOURS = 8;

export class Speakers {
  #numbers = new Map();
  #present = new Set();

  /** @param {string[]} labels In order of first speech. @param {Object<string, string>} names */
  constructor(labels, names) {
    this.names = names;
    this.know(labels);
  }

  /** @param {string[]} labels Who is there now: the new ones get the next numbers, nobody's number changes. */
  know(labels) {
    this.#present = new Set(labels);
    for (const label of labels) this.reserve(label);
  }

  /** @param {string} label Number it, so that `fresh` does not give it again. */
  reserve(label) {
    if (!this.#numbers.has(label)) this.#numbers.set(label, this.#numbers.size);
  }

  /** @returns {string[]} Labels of those who are there, by number. */
  get labels() { return [...this.#numbers.keys()].filter((label) => this.#present.has(label)); }

  /** @param {number} number @returns {string|undefined} Who is there and has it. */
  numbered(number) { return this.labels.find((label) => this.number(label) === number); }

  /** @param {string|null} label @returns {number} -1 for somebody unknown. */
  number(label) { return this.#numbers.get(label) ?? -1; }

  /** @param {string|null} label @returns {string} */
  name(label) { return label === null ? "Unknown" : this.names[label] || label; }

  /** @returns {string} A label that nobody has or had. */
  fresh() {
    for (let at = 0; ; at += 1) {
      const label = `SPEAKER_${String(at).padStart(2, "0")}`;
      if (!this.#numbers.has(label)) return label;
    }
  }

  /** @param {string|null} label @returns {string} A colour for style sheets. */
  colour(label) { return property(this.number(label)); }

  /** @param {number} number @returns {string} The colour of a number, for a canvas. */
  ink(number) {
    return getComputedStyle(document.documentElement).getPropertyValue(property(number).slice(4, -1));
  }
}

function property(number) {
  return number < 0 ? "var(--text-quiet)" : `var(--speaker-${number % COLOURS})`;
}
