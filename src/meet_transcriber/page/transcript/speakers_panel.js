/* Who spoke, for how long; renaming them everywhere. */

import { fill, h } from "../dom.js";
import { clock } from "../format.js";
import { icon } from "../icons.js";
import { openMenu } from "./menu.js";
import { talkTime } from "./model.js";

/** Fires `rename` ({label, name}), `reassign` ({from, to}). */
export class SpeakersPanel extends EventTarget {
  /** @param {import("./cast.js").Cast} cast @param {boolean} mayEdit */
  constructor(cast, mayEdit) {
    super();
    this.cast = cast;
    this.mayEdit = mayEdit;
    this.list = h("ul", { class: "speakers" });
    this.element = h("section", { class: "panel", "aria-labelledby": "speakers-title" },
      h("h2", { id: "speakers-title" }, "Speakers"), this.list);
  }

  /** @param {import("./model.js").Segment[]} segments */
  show(segments) {
    const seconds = talkTime(segments);
    const all = Math.max([...seconds.values()].reduce((sum, each) => sum + each, 0), 0.001);
    const labels = this.cast.labels.filter((label) => seconds.has(label));
    if (seconds.has(null)) labels.push(null);
    const editing = this.list.querySelector("input");
    if (editing) return; // shown when the name is done
    fill(this.list, labels.map((label) => this.#row(label, seconds.get(label), seconds.get(label) / all)));
  }

  /** @param {string} label Let somebody type its name. */
  rename(label) {
    const row = [...this.list.children].find((each) => each.dataset.label === label);
    const name = row?.querySelector(".speaker-name");
    if (!name) return;
    const input = h("input", {
      type: "text", class: "speaker-input", value: this.cast.names[label] ?? "", maxLength: 200, dir: "auto", autocomplete: "off",
      placeholder: label, "aria-label": `Name of ${label}`,
    });
    let ended = false;
    const end = (save) => {
      if (ended) return;
      ended = true;
      input.replaceWith(name);
      name.focus();
      this.dispatchEvent(new CustomEvent("rename", { detail: { label, name: save ? input.value.trim() : null } }));
    };
    input.addEventListener("keydown", (event) => {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault();
      end(event.key === "Enter");
    });
    input.addEventListener("blur", () => end(true));
    name.replaceWith(input);
    input.focus();
    input.select();
  }

  #row(label, seconds, share) {
    const name = this.cast.name(label);
    const number = this.cast.number(label);
    const percent = `${Math.round(100 * share)} %`;
    return h("li", { class: "speaker-row", dataset: { label: label ?? "" }, vars: { "--voice": this.cast.colour(label), "--share": share } },
      h("span", { class: "chip", "aria-hidden": "true" }, number < 0 ? "?" : number + 1),
      label !== null && this.mayEdit
        ? h("button", { type: "button", class: "speaker-name", title: "Rename everywhere", onclick: () => this.rename(label) }, h("bdi", null, name))
        : h("span", { class: "speaker-name" }, h("bdi", null, name)),
      h("span", { class: "speaker-time" }, `${clock(seconds)} · ${percent}`),
      this.mayEdit && this.#more(label, name),
      h("span", { class: "speaker-bar", "aria-hidden": "true" }));
  }

  #more(label, name) {
    const button = h("button", {
      type: "button", class: "icon-button", "aria-label": `Actions for ${name}`, "aria-haspopup": "menu", "aria-expanded": "false",
      onclick: () => openMenu(button, `Actions for ${name}`, [
        ...(label === null ? [] : [{ label: "Rename everywhere", run: () => this.rename(label) }]),
        ...this.cast.labels.filter((other) => other !== label).map((other) => ({
          label: ["Give everything to ", h("bdi", null, this.cast.name(other))],
          run: () => this.dispatchEvent(new CustomEvent("reassign", { detail: { from: label, to: other } })),
        })),
      ]),
    }, icon("more"));
    return button;
  }
}
