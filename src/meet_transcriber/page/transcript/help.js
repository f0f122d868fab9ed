/* The help dialog with all keyboard shortcuts. */

import { h, openDialog } from "../dom.js";
import { EDITING, MOVING, SINGLE, singleKeys } from "./keys.js";

/** Show the keyboard shortcuts and the switch for single keys. */
export function openHelp() {
  const toggle = h("input", { type: "checkbox", autofocus: true, checked: singleKeys.on, onchange: () => { singleKeys.on = toggle.checked; } });
  return openDialog("Keyboard shortcuts", [
    h("p", { class: "quiet" }, "They work while the focus is in the transcript: click a word or press Tab. On a Mac, use Command for Ctrl."),
    h("label", { class: "single-keys" }, toggle, " Enable single-key shortcuts"),
    h("div", { class: "help-keys" },
      table("Single keys", SINGLE), table("Navigation", MOVING), table("While editing", EDITING)),
    h("div", { class: "dialog-actions" }, h("button", { type: "submit", class: "button primary" }, "Close")),
  ], { wide: true });
}

function table(title, keys) {
  return h("section", null, h("h3", null, title), h("dl", { class: "keys" },
    keys.map(({ shown, about }) => [h("dt", null, h("kbd", null, shown)), h("dd", null, about)])));
}
