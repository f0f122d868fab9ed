/* What an edit does to segments: the same as `core/edits.py`, so that nobody waits for the server. */

import { stretches } from "./matching.js";
import { Segment } from "./model.js";
import { splitText } from "./scripts.js";

/**
 * @typedef {Object} Change As PATCH /transcribe/{id}/segments takes it; one thing beside `segment`.
 * @property {number} segment
 * @property {string} [text]
 * @property {string|null} [speaker]
 * @property {number} [split_at]
 * @property {true} [merge]
 */

/**
 * @param {Segment[]} segments
 * @param {Change[]} changes In order; each names a place as it is by then.
 * @returns {Segment[]}
 */
export function changed(segments, changes) {
  const all = [...segments];
  for (const change of changes) {
    if ("text" in change) retext(all, change);
    else if ("speaker" in change) assign(all, change);
    else if ("split_at" in change) split(all, change);
    else merge(all, change);
  }
  return all;
}

function retext(all, { segment, text }) {
  const old = all[segment];
  all[segment] = old.holding(retimed(old.words, splitText(text)));
}

function assign(all, { segment, speaker }) {
  const old = all[segment];
  all[segment] = new Segment(spokenBy(old.words, speaker), speaker, old.language);
}

function split(all, { segment, split_at: at }) {
  const { words } = all[segment];
  all.splice(segment, 1, all[segment].holding(words.slice(0, at)), all[segment].holding(words.slice(at)));
}

function merge(all, { segment }) {
  const [first, second] = all.slice(segment, segment + 2);
  const words = [...first.words];
  for (const word of second.words) {
    const start = Math.max(word.start, words.at(-1).start); // people may have talked at once
    words.push({ ...word, start, end: Math.max(word.end, start), speaker: first.speaker });
  }
  all.splice(segment, 2, first.holding(words));
}

function spokenBy(words, speaker) {
  return words.map((word) => ({ ...word, speaker }));
}

/** New words in the time of the old: what stayed keeps its time, the rest shares the gaps. */
function retimed(words, texts) {
  return stretches(words.map((word) => word.text), texts).flatMap(({ same, old, fresh }) => {
    if (same) return words.slice(...old);
    const put = texts.slice(...fresh);
    if (put.length === old[1] - old[0]) {
      return put.map((text, at) => ({ ...words[old[0] + at], text, probability: null }));
    }
    return spread(words, old, put);
  });
}

/** Texts, evenly over the words they replace, or the gap they were put into; none begins after the word behind. */
function spread(words, [from, to], texts) {
  const following = to < words.length ? words[to].start : Infinity;
  const old = from < to ? words.slice(from, to) : words;
  const start = from === to && from > 0 ? Math.min(words[from - 1].end, following) : words[from].start;
  const end = Math.min(Math.max(...old.map((word) => word.end)), following);
  const { speaker } = words[Math.min(from, words.length - 1)];
  const step = (end - start) / Math.max(texts.length, 1);
  return texts.map((text, at) => {
    const begin = start + at * step;
    return { text, start: begin, end: begin + step, probability: null, speaker, estimated: true, overlap: false };
  });
}

/**
 * The changes that give some words to somebody: what is around them is split off.
 * @param {Segment[]} segments
 * @param {{segment: number, word: number}} from
 * @param {{segment: number, word: number}} to The last word that goes over.
 * @param {string|null} speaker
 * @returns {Change[]}
 */
export function reassigning(segments, from, to, speaker) {
  const changes = [];
  let first = from.segment;
  let last = to.segment;
  if (to.word + 1 < segments[last].words.length) changes.push({ segment: last, split_at: to.word + 1 });
  if (from.word > 0) {
    changes.push({ segment: first, split_at: from.word });
    first += 1;
    last += 1;
  }
  for (let at = first; at <= last; at += 1) changes.push({ segment: at, speaker });
  return changes;
}
