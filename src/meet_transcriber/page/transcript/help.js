/* The keys, on one page. */

import { h, openDialog } from "../dom.js";
import { EDITING, MOVING, SINGLE, singleKeys } from "./keys.js";

/** Show the keys; their switch is here, too. */
export function openHelp() {
  const toggle = h("input", { type: "checkbox", autofocus: true, checked: singleKeys.on, onchange: () => { singleKeys.on = toggle.checked; } });
  return openDialog("Keys", [
    h("p", { class: "quiet" }, "They count while the focus is in the transcript: click a word, or reach it with Tab. On a Mac, Command is Ctrl."),
    h("label", { class: "single-keys" }, toggle, " Use single keys"),
    h("div", { class: "help-keys" },
      table("Single keys", SINGLE), table("Moving and finding", MOVING), table("While editing", EDITING)),
    h("div", { class: "dialog-actions" }, h("button", { type: "submit", class: "button primary" }, "Close")),
  ], { wide: true });
}

function table(title, keys) {
  return h("section", null, h("h3", null, title), h("dl", { class: "keys" },
    keys.map(({ shown, about }) => [h("dt", null, h("kbd", null, shown)), h("dd", null, about)])));
}
