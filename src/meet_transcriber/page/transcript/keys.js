/* The keyboard shortcuts: one table for handling them and for the help dialog. */

/**
 * @typedef {Object} Key
 * @property {string} action A method of `Actions`, or what the text editor does.
 * @property {string[]} keys `event.key`, with "Ctrl+" (Command on a Mac) and "Shift+" before it.
 * @property {string} shown Its label.
 * @property {string} about
 */

/** Single keys; they work while the focus is in the transcript and can be switched off. @type {Key[]} */
export const SINGLE = [
  { action: "toggle", keys: [" ", "k"], shown: "Space or K", about: "Play or pause" },
  { action: "back", keys: ["j"], shown: "J", about: "Back 5 seconds" },
  { action: "forward", keys: ["l"], shown: "L", about: "Forward 5 seconds" },
  { action: "slower", keys: ["["], shown: "[", about: "Slower" },
  { action: "faster", keys: ["]"], shown: "]", about: "Faster" },
  { action: "edit", keys: ["e"], shown: "E", about: "Edit the segment" },
  { action: "assign", keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"], shown: "1 to 9, 0", about: "Assign the segment or selection to a speaker; 0 for unknown" },
  { action: "newSpeaker", keys: ["n"], shown: "N", about: "Assign to a new speaker" },
  { action: "rename", keys: ["r"], shown: "R", about: "Rename the speaker" },
  { action: "split", keys: ["s"], shown: "S", about: "Split before the selected word" },
  { action: "merge", keys: ["m"], shown: "M", about: "Merge with the next segment" },
  { action: "undo", keys: ["u"], shown: "U", about: "Undo" },
  { action: "nextMatch", keys: ["g"], shown: "G", about: "Next match" },
  { action: "previousMatch", keys: ["Shift+G"], shown: "Shift+G", about: "Previous match" },
  { action: "find", keys: ["/"], shown: "/", about: "Find and replace" },
  { action: "follow", keys: ["f"], shown: "F", about: "Follow playback on or off" },
  { action: "link", keys: ["c"], shown: "C", about: "Copy a link to the selected word" },
  { action: "history", keys: ["h"], shown: "H", about: "Edit history" },
  { action: "help", keys: ["?"], shown: "?", about: "Show this help" },
];

/** Other keys; they work while the focus is in the transcript. @type {Key[]} */
export const MOVING = [
  { action: "down", keys: ["ArrowDown"], shown: "Down", about: "Next segment" },
  { action: "up", keys: ["ArrowUp"], shown: "Up", about: "Previous segment" },
  { action: "right", keys: ["ArrowRight"], shown: "Right", about: "Next word" },
  { action: "left", keys: ["ArrowLeft"], shown: "Left", about: "Previous word" },
  { action: "selectRight", keys: ["Shift+ArrowRight"], shown: "Shift+Right", about: "Select words" },
  { action: "selectLeft", keys: ["Shift+ArrowLeft"], shown: "Shift+Left", about: "Select words backwards" },
  { action: "first", keys: ["Ctrl+Home"], shown: "Ctrl+Home", about: "First segment" },
  { action: "last", keys: ["Ctrl+End"], shown: "Ctrl+End", about: "Last segment" },
  { action: "seek", keys: ["Enter"], shown: "Enter", about: "Play from the selected word" },
  { action: "edit", keys: ["F2"], shown: "F2", about: "Edit the segment" },
  { action: "clearSelection", keys: ["Escape"], shown: "Escape", about: "Clear the selection" },
  { action: "find", keys: ["Ctrl+f"], shown: "Ctrl+F", about: "Find; press again for the browser's search" },
  { action: "nextMatch", keys: ["F3"], shown: "F3", about: "Next match" },
  { action: "previousMatch", keys: ["Shift+F3"], shown: "Shift+F3", about: "Previous match" },
  { action: "undo", keys: ["Ctrl+z"], shown: "Ctrl+Z", about: "Undo" },
  { action: "redo", keys: ["Ctrl+y", "Ctrl+Shift+Z"], shown: "Ctrl+Y", about: "Redo" },
];

/** Keys while text is edited. @type {Key[]} */
export const EDITING = [
  { action: "save", keys: ["Enter"], shown: "Enter", about: "Save" },
  { action: "saveAndNext", keys: ["Ctrl+Enter"], shown: "Ctrl+Enter", about: "Save and edit the next segment" },
  { action: "cancel", keys: ["Escape"], shown: "Escape", about: "Discard changes" },
  { action: "toggle", keys: ["Ctrl+ "], shown: "Ctrl+Space", about: "Play or pause" },
  { action: "back", keys: ["Ctrl+,"], shown: "Ctrl+,", about: "Back 5 seconds" },
  { action: "forward", keys: ["Ctrl+."], shown: "Ctrl+.", about: "Forward 5 seconds" },
];

/** @param {KeyboardEvent} event @returns {string} In the notation of `keys`. */
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
  return table.find((each) => each.keys.includes(key))?.action;
}

const SWITCH = "single-keys";

/** Whether single keys work; WCAG 2.2, 2.1.4 requires a way to turn them off. */
export const singleKeys = {
  get on() {
    try { return localStorage.getItem(SWITCH) !== "off"; } catch { return true; }
  },
  set on(value) {
    try { localStorage.setItem(SWITCH, value ? "on" : "off"); } catch { /* lasts for this visit only */ }
  },
};
