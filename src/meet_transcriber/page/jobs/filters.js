/* Filters of the list, stored in the address so that they survive a reload and can be shared. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

const CHOICES = [
  ["", "All", []],
  ["active", "In progress", ["pending", "processing"]],
  ["completed", "Ready", ["completed"]],
  ["failed", "Failed", ["failed"]],
  ["cancelled", "Cancelled", ["cancelled"]],
];

/**
 * @param {URLSearchParams} query
 * @param {(filter: import("./list.js").Filter) => void} changed
 * @returns {{element: HTMLElement, filter: import("./list.js").Filter}} The initial filter.
 */
export function makeFilters(query, changed) {
  let chosen = CHOICES.some(([key]) => key === query.get("show")) ? query.get("show") : "";
  let waiting = 0;
  const name = h("input", {
    type: "search", value: query.get("name") ?? "", placeholder: "Filter by name", "aria-label": "Filter by name", dir: "auto", autocomplete: "off",
    oninput: () => { clearTimeout(waiting); waiting = setTimeout(tell, 250); },
  });
  const filter = () => ({ states: CHOICES.find(([key]) => key === chosen)[2], name: name.value.trim() });
  const tell = () => {
    const stored = new URLSearchParams(Object.entries({ show: chosen, name: name.value.trim() }).filter(([, value]) => value));
    history.replaceState(null, "", stored.size ? `#/?${stored}` : "#/");
    changed(filter());
  };
  const element = h("div", { class: "filters" },
    h("fieldset", { class: "chips" }, h("legend", { class: "unseen" }, "Show"),
      CHOICES.map(([key, label]) => h("label", { class: "chip" },
        h("input", { type: "radio", name: "show", checked: key === chosen, onchange: () => { chosen = key; tell(); } }),
        h("span", null, label)))),
    h("div", { class: "with-icon" }, icon("search"), name));
  return { element, filter: filter() };
}
