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
  if (!left || !right || /^\s/u.test(right)) return false;
  return !(isSpaceless(lastOf(left)) || isSpaceless(right));
}

function lastOf(text) {
  const low = text.charCodeAt(text.length - 1);
  return low >= 0xdc00 && low < 0xe000 ? text.slice(-2) : text.slice(-1);
}

/** What belongs to the character before it: marks, Thai and Lao AM, joiners, small kana. */
const ATTACHED = /^[\p{M}\u0e33\u0eb3\u200c\u200dぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶー々ゝゞヽヾ]/u;

/** Signs that stack the letter after them. */
const STACKING = /[\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2\u200d]$/u;

/**
 * @param {string} text
 * @returns {string[]} Words, and single characters with their marks of scripts without spaces; a
 *   space that was written in such a script begins the word after it.
 */
export function splitText(text) {
  const words = [];
  for (const [, space, piece] of text.trim().matchAll(/(\s*)(\S+)/gu)) {
    const before = lastOf(words.at(-1) ?? "");
    const apart = partsOf(piece);
    const beside = isSpaceless(apart[0]) || (before !== "" && isSpaceless(before));
    words.push(space && beside ? ` ${apart[0]}` : apart[0], ...apart.slice(1));
  }
  return words;
}

function partsOf(piece) {
  const parts = [];
  let cluster = "";
  for (const character of [...piece, ""]) {
    if (cluster && character && (ATTACHED.test(character) || STACKING.test(cluster))) {
      cluster += character;
      continue;
    }
    if (cluster) {
      const joins = parts.length && !isSpaceless(cluster) && !isSpaceless(parts.at(-1));
      if (joins) parts[parts.length - 1] += cluster;
      else parts.push(cluster);
    }
    cluster = character;
  }
  return parts;
}
