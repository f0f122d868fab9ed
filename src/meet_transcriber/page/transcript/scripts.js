/* Joining and splitting words as `core/scripts.py` and `core/edits.py` do: some scripts take no spaces. */

/** Scripts without spaces between words, as ranges of code points. */
const SPACELESS = [
  [0x0e00, 0x0eff], [0x1000, 0x109f], [0x1780, 0x17ff], [0x2e80, 0x2fdf], [0x3000, 0x30ff],
  [0x31f0, 0x31ff], [0x3400, 0x4dbf], [0x4e00, 0x9fff], [0xf900, 0xfaff], [0xfe30, 0xfe4f],
  [0xff00, 0xffef], [0x20000, 0x3ffff],
];

/** The same characters, as a set of a regular expression has them. */
export const SPACELESS_SET = SPACELESS.map((range) => range.map((point) => `\\u{${point.toString(16)}}`).join("-")).join("");

/** @param {string} character */
function isSpaceless(character) {
  const point = character.codePointAt(0) ?? 0;
  return point >= 0x0e00 && SPACELESS.some(([low, high]) => low <= point && point <= high);
}

/** @param {string} left @param {string} right @returns {boolean} Whether a space belongs between. */
export function needsSpace(left, right) {
  if (!left || !right) return false;
  return !(isSpaceless(lastOf(left)) || isSpaceless(right));
}

function lastOf(text) {
  const low = text.charCodeAt(text.length - 1);
  return low >= 0xdc00 && low < 0xe000 ? text.slice(-2) : text.slice(-1);
}

/** @param {string} text @returns {string[]} Words, and single characters of scripts without spaces. */
export function splitText(text) {
  const words = [];
  for (const piece of text.split(/\s+/u)) {
    let run = "";
    for (const character of piece) {
      if (!isSpaceless(character)) {
        run += character;
        continue;
      }
      if (run) words.push(run);
      words.push(character);
      run = "";
    }
    if (run) words.push(run);
  }
  return words;
}
