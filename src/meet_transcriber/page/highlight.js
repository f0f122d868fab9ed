/* Highlights search terms. */

import { h } from "./dom.js";

/**
 * @param {string} text
 * @param {string} query Words; every occurrence is marked, ignoring case.
 * @returns {(string|HTMLElement)[]} The text in pieces.
 */
export function highlighted(text, query) {
  const terms = query.trim().split(/\s+/u).filter(Boolean);
  if (!terms.length) return [text];
  const longest = terms.sort((one, other) => other.length - one.length).map((term) => term.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  const pieces = text.split(new RegExp(`(${longest.join("|")})`, "giu"));
  return pieces.map((piece, at) => (at % 2 ? h("mark", null, piece) : piece)).filter((piece) => piece !== "");
}
