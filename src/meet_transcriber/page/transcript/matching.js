/* What two lists of words have in common: Ratcliff and Obershelp's way, as Python's difflib has it. */

/**
 * @param {string[]} old
 * @param {string[]} fresh
 * @returns {{same: boolean, old: [number, number], fresh: [number, number]}[]} Stretches in order
 *   that cover both lists; `same` ones are equal, in the others something was put for something.
 */
export function stretches(old, fresh) {
  const found = [];
  let [i, j] = [0, 0];
  for (const [a, b, size] of [...blocks(old, fresh), [old.length, fresh.length, 0]]) {
    if (i < a || j < b) found.push({ same: false, old: [i, a], fresh: [j, b] });
    if (size) found.push({ same: true, old: [a, a + size], fresh: [b, b + size] });
    [i, j] = [a + size, b + size];
  }
  return found;
}

/** Longest common stretches, in order; neighbours are one. */
function blocks(old, fresh) {
  const places = new Map();
  fresh.forEach((text, at) => places.set(text, [...(places.get(text) ?? []), at]));
  const found = [];
  const waiting = [[0, old.length, 0, fresh.length]];
  while (waiting.length) {
    const [low, high, freshLow, freshHigh] = waiting.pop();
    const [i, j, size] = longest(old, places, low, high, freshLow, freshHigh);
    if (!size) continue;
    found.push([i, j, size]);
    waiting.push([low, i, freshLow, j], [i + size, high, j + size, freshHigh]);
  }
  found.sort((left, right) => left[0] - right[0]);
  return found.reduce(joined, []);
}

function joined(all, [i, j, size]) {
  const last = all.at(-1);
  if (last && last[0] + last[2] === i && last[1] + last[2] === j) last[2] += size;
  else all.push([i, j, size]);
  return all;
}

/** The longest common stretch; of equal ones the first in `old`, then in `fresh`. */
function longest(old, places, low, high, freshLow, freshHigh) {
  let best = [low, freshLow, 0];
  let lengths = new Map();
  for (let i = low; i < high; i += 1) {
    const next = new Map();
    for (const j of places.get(old[i]) ?? []) {
      if (j < freshLow) continue;
      if (j >= freshHigh) break;
      const size = (lengths.get(j - 1) ?? 0) + 1;
      next.set(j, size);
      if (size > best[2]) best = [i - size + 1, j - size + 1, size];
    }
    lengths = next;
  }
  return best;
}
