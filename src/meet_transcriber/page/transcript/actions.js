/* What can be done to a transcript with a key, a button or a menu; `keys.js` names the methods. */

import { h } from "../dom.js";
import { copy } from "./export_menu.js";
import { openHelp } from "./help.js";
import { openHistory } from "./history.js";
import { openMenu } from "./menu.js";

export class Actions {
  /** @param {import("./editor.js").Editor} editor */
  constructor(editor) {
    const { player, view, edits, speakers, speakersPanel, finder, context, path, address, mayEdit } = editor;
    Object.assign(this, { player, view, edits, speakers, speakersPanel, finder, context, path, address, mayEdit });
    this.say = (text) => editor.say(text);
  }

  toggle() { this.player.toggle(); }
  back() { this.player.skip(-5); }
  forward() { this.player.skip(5); }
  slower() { this.say(`Speed ${this.player.faster(-1)}`); }
  faster() { this.say(`Speed ${this.player.faster(1)}`); }
  down() { this.view.move(1, "segment"); }
  up() { this.view.move(-1, "segment"); }
  right() { this.#word(1, false); }
  left() { this.#word(-1, false); }
  selectRight() { this.#word(1, true); }
  selectLeft() { this.#word(-1, true); }
  first() { this.view.move(-Infinity, "segment"); }
  last() { this.view.move(Infinity, "segment"); }
  undo() { this.#ifAllowed(() => this.edits.undo()); }
  find() { this.finder.show(); }
  history() { openHistory(this.context.api, this.path).catch((problem) => this.say(problem.message)); }
  help() { openHelp(); }
  nextHit() { this.finder.step(1); }
  previousHit() { this.finder.step(-1); }
  follow() { this.view.follow(!this.view.following); }

  redo() { this.#ifAllowed(() => this.edits.redo()); }

  seek() {
    this.player.seek(this.#chosen.start);
    this.player.play();
  }

  drop() {
    this.view.cursor.drop();
    document.getSelection().removeAllRanges();
    this.view.mark();
    this.view.dispatchEvent(new Event("selected"));
  }

  edit() { this.#ifAllowed(() => this.view.edit(this.view.cursor.at.segment)); }

  split() {
    const { segment, word } = this.view.cursor.at;
    if (word === 0) this.say("Choose the word that shall begin the new segment.");
    else this.#ifAllowed(() => this.edits.change([{ segment, split_at: word }], segment));
  }

  merge() {
    const { segment } = this.view.cursor.at;
    if (segment + 1 === this.edits.state.segments.length) this.say("This is the last segment.");
    else this.#ifAllowed(() => this.edits.change([{ segment, merge: true }], segment, 2));
  }

  /** @param {KeyboardEvent} event The digit says who. */
  assign({ key }) {
    const label = key === "0" ? null : this.speakers.numbered(Number(key) - 1);
    if (label === undefined) this.say(`There is no speaker ${key}; N makes a new one.`);
    else this.give(label);
  }

  fresh() { this.give(this.speakers.fresh()); }

  rename() {
    const { speaker } = this.edits.state.segments[this.view.cursor.at.segment];
    if (speaker !== null) this.#ifAllowed(() => this.speakersPanel.rename(speaker));
  }

  link() {
    const address = `${location.origin}${location.pathname}${this.address}?t=${this.#chosen.start.toFixed(1)}`;
    copy(address, this.say, "The link was copied.");
  }

  /** Give the selected words, else the chosen segment, to somebody. @param {string|null} label */
  give(label) {
    const { at, selection } = this.view.cursor;
    const [from, to] = selection ?? [at, at];
    const changes = selection
      ? reassigning(this.edits.state.segments, from, to, label)
      : [{ segment: at.segment, speaker: label }];
    this.#ifAllowed(() => {
      if (label !== null) this.speakers.reserve(label);
      this.drop();
      this.edits.change(changes, from.segment, to.segment - from.segment + 1);
      this.view.focus();
      this.say(`Given to ${this.speakers.name(label)}.`);
    });
  }

  /** The focus stays on the segment, so the word is said. */
  #word(steps, selecting) {
    this.view.move(steps, "word", selecting);
    this.context.announce(this.#chosen.text);
  }

  get #chosen() {
    const { segment, word } = this.view.cursor.at;
    return this.edits.state.segments[segment].words[word];
  }

  #ifAllowed(run) {
    if (this.mayEdit) run();
    else this.say("This key may only read.");
  }

  /** @param {{name: string, at: number, button?: HTMLElement}} act What a row asks for. */
  act({ name, at, button }) {
    if (this.view.cursor.at.segment !== at) this.view.cursor.choose(at);
    if (name === "edit") this.edit();
    else if (name === "speaker") openMenu(button, "Who says this", this.#castItems());
    else openMenu(button, "Actions", this.#rowItems(button));
  }

  #castItems() {
    const items = this.speakers.labels.map((label) => ({
      label: h("bdi", null, this.speakers.name(label)), hint: this.#digit(label), run: () => this.give(label),
    }));
    return [...items, { label: "New speaker", hint: "N", run: () => this.fresh() },
      { label: "Unknown", hint: "0", run: () => this.give(null) },
      { label: "Rename everywhere", hint: "R", run: () => this.rename() }];
  }

  #digit(label) {
    const shown = this.speakers.number(label) + 1;
    return shown <= 9 ? String(shown) : "";
  }

  #rowItems(button) {
    return [
      { label: "Edit the text", hint: "E", run: () => this.edit() },
      { label: "Change the speaker", run: () => openMenu(button, "Who says this", this.#castItems()) },
      { label: "Split before the chosen word", hint: "S", run: () => this.split() },
      { label: "Merge with the next", hint: "M", run: () => this.merge() },
      { label: "Play from here", hint: "Enter", run: () => this.seek() },
      { label: "Copy a link", hint: "C", run: () => this.link() },
    ];
  }
}

/**
 * The changes that give some words to a speaker: the words around them are split off first.
 * @param {import("./model.js").Segment[]} segments
 * @param {import("./cursor.js").Place} from
 * @param {import("./cursor.js").Place} to The last word.
 * @param {string|null} speaker
 * @returns {import("./edit_queue.js").Change[]}
 */
function reassigning(segments, from, to, speaker) {
  const changes = [];
  let first = from.segment;
  let last = to.segment;
  if (to.word + 1 < segments[last].words.length) changes.push({ segment: last, split_at: to.word + 1 });
  if (from.word > 0) {
    changes.push({ segment: first, split_at: from.word });
    first += 1;
    last += 1;
  }
  for (let at = first; at <= last; at += 1) changes.push({ segment: at, speaker });
  return changes;
}
