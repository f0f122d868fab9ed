/* Every key of the transcript: one table for pressing, for the help, and for docs/page.md. */

/**
 * @typedef {Object} Key
 * @property {string} does The name of what it does, in `editor.js`.
 * @property {string[]} keys `event.key`, with "Ctrl+" (Command on a Mac) and "Shift+" before it.
 * @property {string} shown How it is written for people.
 * @property {string} about
 */

/** Single keys; they count while the focus is in the transcript, and can be switched off. @type {Key[]} */
export const SINGLE = [
  { does: "toggle", keys: [" ", "k"], shown: "Space or K", about: "Play or pause" },
  { does: "back", keys: ["j"], shown: "J", about: "Back 5 seconds" },
  { does: "forward", keys: ["l"], shown: "L", about: "Forward 5 seconds" },
  { does: "slower", keys: ["["], shown: "[", about: "Slower" },
  { does: "faster", keys: ["]"], shown: "]", about: "Faster" },
  { does: "edit", keys: ["e"], shown: "E", about: "Edit the segment" },
  { does: "assign", keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"], shown: "1 to 9, 0", about: "Give the segment or the selected words to a speaker; 0 to nobody known" },
  { does: "fresh", keys: ["n"], shown: "N", about: "Give them to a new speaker" },
  { does: "rename", keys: ["r"], shown: "R", about: "Rename the segment's speaker everywhere" },
  { does: "split", keys: ["s"], shown: "S", about: "Split the segment before the chosen word" },
  { does: "merge", keys: ["m"], shown: "M", about: "Merge the segment with the next one" },
  { does: "undo", keys: ["u"], shown: "U", about: "Undo" },
  { does: "nextHit", keys: ["g"], shown: "G", about: "Next match" },
  { does: "previousHit", keys: ["Shift+G"], shown: "Shift+G", about: "Previous match" },
  { does: "find", keys: ["/"], shown: "/", about: "Find and replace" },
  { does: "follow", keys: ["f"], shown: "F", about: "Follow the spoken word, or stop following" },
  { does: "link", keys: ["c"], shown: "C", about: "Copy a link to the chosen word" },
  { does: "history", keys: ["h"], shown: "H", about: "What was changed" },
  { does: "help", keys: ["?"], shown: "?", about: "This help" },
];

/** Keys that move or are no letters; they count while the focus is in the transcript. @type {Key[]} */
export const MOVING = [
  { does: "down", keys: ["ArrowDown"], shown: "Down", about: "Next segment" },
  { does: "up", keys: ["ArrowUp"], shown: "Up", about: "Previous segment" },
  { does: "right", keys: ["ArrowRight"], shown: "Right", about: "Next word" },
  { does: "left", keys: ["ArrowLeft"], shown: "Left", about: "Previous word" },
  { does: "selectRight", keys: ["Shift+ArrowRight"], shown: "Shift+Right", about: "Select words" },
  { does: "selectLeft", keys: ["Shift+ArrowLeft"], shown: "Shift+Left", about: "Select words backwards" },
  { does: "first", keys: ["Ctrl+Home"], shown: "Ctrl+Home", about: "First segment" },
  { does: "last", keys: ["Ctrl+End"], shown: "Ctrl+End", about: "Last segment" },
  { does: "seek", keys: ["Enter"], shown: "Enter", about: "Play from the chosen word" },
  { does: "edit", keys: ["F2"], shown: "F2", about: "Edit the segment" },
  { does: "drop", keys: ["Escape"], shown: "Escape", about: "Drop the selection" },
  { does: "find", keys: ["Ctrl+f"], shown: "Ctrl+F", about: "Find; pressed again, the browser's own" },
  { does: "nextHit", keys: ["F3"], shown: "F3", about: "Next match" },
  { does: "previousHit", keys: ["Shift+F3"], shown: "Shift+F3", about: "Previous match" },
  { does: "undo", keys: ["Ctrl+z"], shown: "Ctrl+Z", about: "Undo" },
  { does: "redo", keys: ["Ctrl+y", "Ctrl+Shift+Z"], shown: "Ctrl+Y", about: "Redo" },
];

/** Keys while a text is edited. @type {Key[]} */
export const EDITING = [
  { does: "save", keys: ["Enter"], shown: "Enter", about: "Save" },
  { does: "saveAndNext", keys: ["Ctrl+Enter"], shown: "Ctrl+Enter", about: "Save and edit the next segment" },
  { does: "cancel", keys: ["Escape"], shown: "Escape", about: "Give up what was typed" },
  { does: "toggle", keys: ["Ctrl+ "], shown: "Ctrl+Space", about: "Play or pause" },
  { does: "back", keys: ["Ctrl+,"], shown: "Ctrl+,", about: "Back 5 seconds" },
  { does: "forward", keys: ["Ctrl+."], shown: "Ctrl+.", about: "Forward 5 seconds" },
];

/** @param {KeyboardEvent} event @returns {string} As `keys` has it. */
export function pressed(event) {
  const shift = event.shiftKey && (event.key.length > 1 || /^\p{Lu}$/u.test(event.key)) ? "Shift+" : "";
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  return control + shift + event.key;
}

/**
 * @param {Key[]} table
 * @param {KeyboardEvent} event
 * @returns {string|undefined} What the key does.
 */
export function meant(table, event) {
  if (event.altKey || event.isComposing) return undefined;
  const key = pressed(event);
  return table.find((each) => each.keys.includes(key))?.does;
}

const SWITCH = "single-keys";

/** Whether single keys count; WCAG 2.2, 2.1.4 wants a way to shut them off. */
export const singleKeys = {
  get on() {
    try { return localStorage.getItem(SWITCH) !== "off"; } catch { return true; }
  },
  set on(value) {
    try { localStorage.setItem(SWITCH, value ? "on" : "off"); } catch { /* for this visit only */ }
  },
};
