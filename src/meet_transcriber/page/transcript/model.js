/* The transcript as immutable data: an edit creates new segments, so a list of segments is a snapshot. */

/** Scripts without spaces between words, as in core/languages.py. */
const SPACELESS = "\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u2e80-\\u2fdf\\u3000-\\u30ff\\u31f0-\\u31ff"
  + "\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\ufe30-\\ufe4f\\uff00-\\uffef\\u{20000}-\\u{3ffff}";
const ENDS_SPACELESS = new RegExp(`[${SPACELESS}]$`, "u");
const BEGINS_SPACELESS = new RegExp(`^[\\s${SPACELESS}]`, "u");

/** @param {string} left @param {string} right @returns {boolean} Whether a space belongs between two words. */
export function needsSpace(left, right) {
  return left !== "" && right !== "" && !ENDS_SPACELESS.test(left.slice(-2)) && !BEGINS_SPACELESS.test(right);
}

/**
 * @typedef {Object} Word
 * @property {string} text
 * @property {number} start
 * @property {number} end
 * @property {number|null} probability
 * @property {string|null} speaker
 * @property {boolean} estimated
 * @property {boolean} overlap
 */

/** Consecutive words of one speaker. */
export class Segment {
  #text;
  #folded;
  #offsets;

  /** @param {Word[]} words @param {string|null} speaker @param {string|null} language */
  constructor(words, speaker, language) {
    this.words = words;
    this.speaker = speaker;
    this.language = language;
    this.start = words[0].start;
    this.end = words.reduce((latest, word) => Math.max(latest, word.end), 0);
  }

  /** @param {string} text @returns {Segment} With another text, to be shown until the server has timed its words. */
  withText(text) { return new Segment(spread({ start: this.start, end: this.end, text, speaker: this.speaker }), this.speaker, this.language); }

  /** Its words as running text. */
  get text() {
    if (this.#text === undefined) this.#join();
    return this.#text;
  }

  /** Where each word begins in `text`. @returns {number[]} */
  get offsets() {
    if (this.#offsets === undefined) this.#join();
    return this.#offsets;
  }

  /** Its text for searching. */
  get folded() { return (this.#folded ??= folded(this.text)); }

  #join() {
    let text = "";
    this.#offsets = this.words.map((word) => {
      if (needsSpace(text, word.text)) text += " ";
      const offset = text.length;
      text += word.text;
      return offset;
    });
    this.#text = text;
  }
}

/** @param {string} text @returns {string} In lower case, of the same length. */
export function folded(text) {
  const lower = text.toLowerCase();
  return lower.length === text.length ? lower : [...text].map(lowerOrSame).join("");
}

function lowerOrSame(character) {
  const lower = character.toLowerCase();
  return lower.length === character.length ? lower : character;
}

/** @param {any[]} plain Segments in the json format. @returns {Segment[]} */
export function segmentsOf(plain) {
  return plain.filter((each) => each.words?.length || each.text)
    .map((each) => new Segment(each.words ?? spread(each), each.speaker, each.language));
}

/** Words of a segment without word times: evenly over its time. */
function spread({ start, end, text, speaker }) {
  const texts = text.trim().split(/\s+/u);
  const step = (end - start) / texts.length;
  return texts.map((each, at) => ({
    text: each, start: start + at * step, end: start + (at + 1) * step,
    probability: null, speaker, estimated: true, overlap: false,
  }));
}

/**
 * Binary search for the last place whose value is not above a wanted one.
 * @param {number} count
 * @param {(at: number) => number} valueAt Rising.
 * @param {number} wanted
 * @returns {number} -1 if all are above.
 */
export function lastNotAbove(count, valueAt, wanted) {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (valueAt(middle) <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** How many segments back one may still be spoken, where people speak at once. */
const OVERLAP_REACH = 12;

/**
 * Find the word at a moment.
 * @param {Segment[]} segments In time order.
 * @param {number} time Seconds.
 * @returns {{segment: number, word: number}} The spoken word, else the last one before;
 *   -1 if there is none.
 */
export function placeAt(segments, time) {
  const last = lastNotAbove(segments.length, (at) => segments[at].start, time);
  if (last < 0) return { segment: -1, word: -1 };
  let segment = last;
  for (let at = last; at >= 0 && last - at < OVERLAP_REACH; at -= 1) {
    if (segments[at].end > time) { segment = at; break; }
  }
  const { words } = segments[segment];
  return { segment, word: lastNotAbove(words.length, (at) => words[at].start, time) };
}

/**
 * @typedef {Object} Turn
 * @property {number} start
 * @property {number} end
 * @property {string} speaker
 */

/** @param {Turn[]} turns @param {Segment[]} segments @returns {Turn[]} Turns of speakers without segments. */
export function wordless(turns, segments) {
  const heard = new Set(segments.map((each) => each.speaker));
  return turns.filter((each) => !heard.has(each.speaker));
}

/**
 * @param {Segment[]} segments
 * @param {Turn[]} silent Of speakers without words.
 * @returns {Map<string|null, number>} Seconds by speaker: of words, else of turns.
 */
export function talkTime(segments, silent) {
  const seconds = new Map();
  const add = (speaker, spans) => {
    const spoken = spans.reduce((sum, each) => sum + each.end - each.start, 0);
    seconds.set(speaker, (seconds.get(speaker) ?? 0) + spoken);
  };
  for (const { speaker, words } of segments) add(speaker, words);
  for (const turn of silent) add(turn.speaker, [turn]);
  return seconds;
}
