/* The text editor of a segment. */

import { h } from "../dom.js";
import { EDITING, meant } from "./keys.js";

/** Fires `typed`, `end` ({save, next}) and `player` (`detail` is the requested action). */
export class TextEditor extends EventTarget {
  /** @param {string} text @param {string} label */
  constructor(text, label) {
    super();
    this.input = h("textarea", {
      rows: 1, value: text, dir: "auto", "aria-label": label, maxLength: 10_000, spellcheck: true,
      oninput: () => { this.input.setCustomValidity(""); this.#fit(); this.dispatchEvent(new Event("typed")); },
      onkeydown: (event) => this.#key(event),
    });
    this.element = h("div", { class: "text-editor" }, this.input,
      h("div", { class: "text-editor-actions" },
        h("button", { type: "button", class: "button small primary", onclick: () => this.#end(true, false) }, "Save"),
        h("button", { type: "button", class: "button small", onclick: () => this.#end(false, false) }, "Cancel"),
        h("span", { class: "quiet" }, "Enter to save, Ctrl+Enter to save and edit the next")));
    requestAnimationFrame(() => this.#fit());
  }

  get text() { return this.input.value.replace(/\s+/gu, " "); }

  #fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight + 2}px`;
  }

  #end(save, next) {
    if (save && !this.text.trim()) {
      this.input.setCustomValidity("A segment cannot be empty. To remove it, merge it with its neighbour.");
      this.input.reportValidity();
      return;
    }
    this.dispatchEvent(new CustomEvent("end", { detail: { save, next } }));
  }

  #key(event) {
    event.stopPropagation();
    const name = meant(EDITING, event);
    if (!name) return;
    event.preventDefault();
    if (name === "cancel") this.#end(false, false);
    else if (name === "save" || name === "saveAndNext") this.#end(true, name === "saveAndNext");
    else this.dispatchEvent(new CustomEvent("player", { detail: name }));
  }
}
