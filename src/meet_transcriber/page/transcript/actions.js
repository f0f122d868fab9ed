/* Actions of keys, buttons and menus on a transcript; `keys.js` names the methods. */

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
  slower() { this.say(`Speed ${this.player.changeSpeed(-1)}`); }
  faster() { this.say(`Speed ${this.player.changeSpeed(1)}`); }
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
  nextMatch() { this.finder.step(1); }
  previousMatch() { this.finder.step(-1); }
  follow() { this.view.follow(!this.view.following); }

  redo() { this.#ifAllowed(() => this.edits.redo()); }

  seek() {
    this.player.seek(this.#currentWord.start);
    this.player.play();
  }

  clearSelection() {
    this.view.cursor.clearSelection();
    document.getSelection().removeAllRanges();
    this.view.mark();
    this.view.dispatchEvent(new Event("selected"));
  }

  edit() { this.#ifAllowed(() => this.view.edit(this.view.cursor.at.segment)); }

  split() {
    const { segment, word } = this.view.cursor.at;
    if (word === 0) this.say("Select the word that starts the new segment.");
    else this.#ifAllowed(() => this.edits.change([{ segment, split_at: word }], segment));
  }

  merge() {
    const { segment } = this.view.cursor.at;
    if (segment + 1 === this.edits.state.segments.length) this.say("This is the last segment.");
    else this.#ifAllowed(() => this.edits.change([{ segment, merge: true }], segment, 2));
  }

  /** @param {KeyboardEvent} event Its digit is the speaker's number. */
  assign({ key }) {
    const label = key === "0" ? null : this.speakers.numbered(Number(key) - 1);
    if (label === undefined) this.say(`There is no speaker ${key}. Press N for a new one.`);
    else this.assignTo(label);
  }

  newSpeaker() { this.assignTo(this.speakers.newLabel()); }

  rename() {
    const { speaker } = this.edits.state.segments[this.view.cursor.at.segment];
    if (speaker !== null) this.#ifAllowed(() => this.speakersPanel.rename(speaker));
  }

  link() {
    const address = `${location.origin}${location.pathname}${this.address}?t=${this.#currentWord.start.toFixed(1)}`;
    copy(address, this.say, "Link copied.");
  }

  /** Assign the selected words, else the current segment, to a speaker. @param {string|null} label */
  assignTo(label) {
    const { at, selection } = this.view.cursor;
    const [from, to] = selection ?? [at, at];
    const changes = selection
      ? reassigning(this.edits.state.segments, from, to, label)
      : [{ segment: at.segment, speaker: label }];
    this.#ifAllowed(() => {
      if (label !== null) this.speakers.reserve(label);
      this.clearSelection();
      this.edits.change(changes, from.segment, to.segment - from.segment + 1);
      this.view.focus();
      this.say(`Assigned to ${this.speakers.name(label)}.`);
    });
  }

  /** The focus stays on the segment, so the word is announced. */
  #word(steps, selecting) {
    this.view.move(steps, "word", selecting);
    this.context.announce(this.#currentWord.text);
  }

  get #currentWord() {
    const { segment, word } = this.view.cursor.at;
    return this.edits.state.segments[segment].words[word];
  }

  #ifAllowed(run) {
    if (this.mayEdit) run();
    else this.say("Your key is read-only.");
  }

  /** @param {{name: string, at: number, button?: HTMLElement}} act Requested by a row. */
  act({ name, at, button }) {
    if (this.view.cursor.at.segment !== at) this.view.cursor.choose(at);
    if (name === "edit") this.edit();
    else if (name === "speaker") openMenu(button, "Speaker", this.#speakerItems());
    else openMenu(button, "Actions", this.#rowItems(button));
  }

  #speakerItems() {
    const items = this.speakers.labels.map((label) => ({
      label: h("bdi", null, this.speakers.name(label)), hint: this.#digit(label), run: () => this.assignTo(label),
    }));
    return [...items, { label: "New speaker", hint: "N", run: () => this.newSpeaker() },
      { label: "Unknown speaker", hint: "0", run: () => this.assignTo(null) },
      { label: "Rename speaker", hint: "R", run: () => this.rename() }];
  }

  #digit(label) {
    const shown = this.speakers.number(label) + 1;
    return shown <= 9 ? String(shown) : "";
  }

  #rowItems(button) {
    return [
      { label: "Edit text", hint: "E", run: () => this.edit() },
      { label: "Change speaker", run: () => openMenu(button, "Speaker", this.#speakerItems()) },
      { label: "Split before the selected word", hint: "S", run: () => this.split() },
      { label: "Merge with next segment", hint: "M", run: () => this.merge() },
      { label: "Play from here", hint: "Enter", run: () => this.seek() },
      { label: "Copy link", hint: "C", run: () => this.link() },
    ];
  }
}

/**
 * The changes that assign some words to a speaker; the words around them are split off first.
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
