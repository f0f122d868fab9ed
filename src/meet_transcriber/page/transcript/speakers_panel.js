/* The speakers panel: talk time, renaming, merging, suggestions from voice profiles. */

import { fill, h, openDialog } from "../dom.js";
import { clock } from "../format.js";
import { icon } from "../icons.js";
import { openMenu } from "./menu.js";
import { talkTime } from "./model.js";

/** Fires `rename` and `remember` ({label, name}), `reassign` ({from, to}). */
export class SpeakersPanel extends EventTarget {
  /** @param {import("./speakers.js").Speakers} speakers @param {boolean} mayEdit */
  constructor(speakers, mayEdit) {
    super();
    this.speakers = speakers;
    this.mayEdit = mayEdit;
    this.segments = [];
    this.silent = [];
    this.voices = new Map(); // by label
    this.declined = new Set();
    this.list = h("ul", { class: "speakers" });
    this.element = h("section", { class: "side-panel", "aria-labelledby": "speakers-title" },
      h("h2", { id: "speakers-title" }, "Speakers"), this.list);
  }

  /** @param {import("./model.js").Segment[]} segments @param {import("./model.js").Turn[]} silent Of speakers without words. */
  show(segments, silent) {
    this.segments = segments;
    this.silent = silent;
    const wordless = new Set(silent.map((each) => each.speaker));
    const seconds = talkTime(segments, silent);
    const all = Math.max([...seconds.values()].reduce((sum, each) => sum + each, 0), 0.001);
    const labels = [...this.speakers.labels, ...(seconds.has(null) ? [null] : [])];
    fill(this.list, labels.map((label) => this.#row(label, seconds.get(label), seconds.get(label) / all, wordless.has(label))));
  }

  #refresh() { this.show(this.segments, this.silent); }

  /** @param {any[]} voices Answer of GET /transcribe/{id}/speakers. */
  showVoices(voices) {
    this.voices = new Map(voices.map((each) => [each.speaker, each]));
    this.#tell("voices");
    this.#refresh();
  }

  /** @param {string} label Ask for its name. */
  async rename(label) {
    const before = this.speakers.names[label] ?? "";
    const remember = h("input", { type: "checkbox" });
    const consent = h("label", { class: "remember" }, remember, h("span", null, "Remember this voice for later meetings. This person has agreed."));
    const input = h("input", {
      type: "text", value: before, maxLength: 200, dir: "auto", autocomplete: "off", autofocus: true,
      placeholder: label, "aria-label": `Name of ${label}`,
    });
    const { closed } = openDialog(`Who is ${this.speakers.name(label)}?`, [
      input, consent,
      h("p", { class: "quiet" }, "Shown everywhere and in exports. Leave empty to show ", label, "."),
      h("div", { class: "dialog-actions" },
        h("button", { type: "button", class: "button", onclick: () => input.closest("dialog").close("") }, "Cancel"),
        h("button", { type: "submit", value: "save", class: "button primary" }, "Rename")),
    ]);
    input.select();
    // The voices may arrive after the dialog was opened.
    const offer = () => { consent.hidden = !this.voices.get(label)?.rememberable; };
    offer();
    this.addEventListener("voices", offer);
    const outcome = await closed;
    this.removeEventListener("voices", offer);
    if (outcome !== "save") return;
    const name = input.value.trim();
    if (name !== before) this.#tell("rename", { label, name });
    if (name && remember.checked) this.#tell("remember", { label, name });
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  #row(label, seconds, share, wordless) {
    const name = this.speakers.name(label);
    const number = this.speakers.number(label);
    const part = wordless ? "no words" : `${Math.round(100 * share)} %`;
    return h("li", { class: "speaker-row", dataset: { label: label ?? "" }, vars: { "--voice": this.speakers.colour(label), "--share": share } },
      h("span", { class: "voice", "aria-hidden": "true" }, number < 0 ? "?" : number + 1),
      label !== null && this.mayEdit
        ? h("button", { type: "button", class: "speaker-name", title: `Rename ${name}`, onclick: () => this.rename(label) }, h("bdi", null, name))
        : h("span", { class: "speaker-name" }, h("bdi", null, name)),
      h("span", { class: "speaker-time" }, `${clock(seconds)} · ${part}`),
      this.mayEdit && this.#more(label, name),
      this.mayEdit && this.#suggestion(label),
      h("span", { class: "speaker-bar", "aria-hidden": "true" }));
  }

  /** The suggested name of an unnamed speaker. */
  #suggestion(label) {
    const { certainty, voice_name: name } = this.voices.get(label) ?? {};
    if (certainty !== "perhaps" || this.speakers.names[label] || this.declined.has(label)) return null;
    const button = (text, run) => h("button", { type: "button", class: "button small", "aria-label": `${text}: ${label} is ${text === "Yes" ? "" : "not "}${name}`, onclick: run }, text);
    return h("span", { class: "speaker-perhaps" }, h("span", null, "Is this ", h("bdi", null, name), "?"),
      button("Yes", () => this.#tell("rename", { label, name })),
      button("No", () => { this.declined.add(label); this.#refresh(); }));
  }

  #more(label, name) {
    const button = h("button", {
      type: "button", class: "icon-button", "aria-label": `Actions for ${name}`, "aria-haspopup": "menu", "aria-expanded": "false",
      onclick: () => openMenu(button, `Actions for ${name}`, [
        ...(label === null ? [] : [{ label: "Rename", run: () => this.rename(label) }]),
        ...this.speakers.labels.filter((other) => other !== label).map((other) => ({
          label: ["Merge into ", h("bdi", null, this.speakers.name(other))],
          run: () => this.#tell("reassign", { from: label, to: other }),
        })),
      ]),
    }, icon("more"));
    return button;
  }
}
