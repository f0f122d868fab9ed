/* Finding text among segments; a match is within one segment. */

import { folded } from "./model.js";
import { SPACELESS_SET, needsSpace } from "./scripts.js";

/**
 * @typedef {Object} Match
 * @property {number} segment
 * @property {number} from The first word it touches.
 * @property {number} to The last.
 */

/**
 * @param {import("./model.js").Segment[]} segments
 * @param {string} query
 * @returns {Match[]} In order; upper and lower case are the same.
 */
export function matches(segments, query) {
  const wanted = folded(query.trim().replace(/\s+/gu, " "));
  const found = [];
  if (!wanted) return found;
  segments.forEach((segment, at) => {
    for (let place = segment.folded.indexOf(wanted); place >= 0;
      place = segment.folded.indexOf(wanted, place + wanted.length)) {
      found.push({ segment: at, ...touched(segment.offsets, place, place + wanted.length) });
    }
  });
  return found;
}

function touched(offsets, start, end) {
  let from = 0;
  while (from + 1 < offsets.length && offsets[from + 1] <= start) from += 1;
  let to = from;
  while (to + 1 < offsets.length && offsets[to + 1] < end) to += 1;
  return { from, to };
}

/**
 * @param {import("./model.js").Segment[]} segments
 * @param {string} text
 * @returns {number} How often it stands there as whole words, which is what is replaced.
 */
export function wholeWords(segments, text) {
  const words = text.split(/\s+/u).filter(Boolean).map((each) => each.replace(/[\\^$.*+?()[\]{}|/-]/gu, "\\$&"));
  if (!words.length) return 0;
  const begin = /^[\p{L}\p{N}]/u.test(text) && needsSpace("a", text) ? `(?:(?<![\\p{L}\\p{N}_])|(?<=[${SPACELESS_SET}]))` : "";
  const end = /[\p{L}\p{N}]$/u.test(text) && needsSpace(text, "a") ? `(?:(?![\\p{L}\\p{N}_])|(?=[${SPACELESS_SET}]))` : "";
  const pattern = new RegExp(begin + words.join("\\s+") + end, "giu");
  return segments.reduce((sum, each) => sum + (each.text.match(pattern)?.length ?? 0), 0);
}
