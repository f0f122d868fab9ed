/* Finds text in segments; a match lies within one segment. */

import { folded } from "./model.js";

/**
 * @typedef {Object} Match
 * @property {number} segment
 * @property {number} from Its first word.
 * @property {number} to Its last word.
 */

/**
 * @param {import("./model.js").Segment[]} segments
 * @param {string} query
 * @returns {Match[]} In order, ignoring case.
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
