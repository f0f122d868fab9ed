/* A finished meeting: everything that can be done with it. */

import { confirmed, fill, h } from "../dom.js";
import { clock, counted, moment } from "../format.js";
import { icon } from "../icons.js";
import { Cast } from "./cast.js";
import { reassigning } from "./edits.js";
import { Editing } from "./editing.js";
import { copy, exportButton } from "./exporting.js";
import { FindBar } from "./find_bar.js";
import { openHelp } from "./help.js";
import { openHistory } from "./history.js";
import { MOVING, SINGLE, meant, singleKeys } from "./keys.js";
import { openMenu } from "./menu.js";
import { speakersIn } from "./model.js";
import { Pane } from "./pane.js";
import { Peaks } from "./peaks.js";
import { Player } from "./player.js";
import { printable } from "./printing.js";
import { qualityPanel } from "./quality_panel.js";
import { SpeakersPanel } from "./speakers_panel.js";
import { Waveform } from "./waveform.js";

export class Desk {
  /**
   * @param {HTMLElement} root
   * @param {import("../app.js").Context} context
   * @param {any} job With its transcript.
   * @param {() => void} reload Show the job anew.
   */
  constructor(root, context, job, reload) {
    this.context = context;
    this.reload = reload;
    this.path = `/transcribe/${job.job_id}`;
    this.address = `#/job/${job.job_id}`;
    this.mayEdit = context.session.scopes.includes("submit");
    this.editing = new Editing(context.api, job);
    this.cast = new Cast(job.transcript.speakers, this.editing.state.names);
    this.player = new Player(job.links.audio, job.transcript.duration);
    this.wave = new Waveform(this.player, this.cast);
    this.finder = new FindBar(() => this.segments, this.mayEdit);
    this.pane = new Pane(this.cast, this.address, (at) => this.finder.hits(at));
    this.speakers = new SpeakersPanel(this.cast, this.mayEdit);
    fill(root, this.#layout(job));
    this.#listen();
    root.classList.add("main-desk");
    this.root = root;
    this.#show();
    this.#outline(job.links.peaks);
    this.goTo(context.query);
  }

  get segments() { return this.editing.state.segments; }

  /** Stop everything. */
  close() {
    this.root.classList.remove("main-desk");
    this.player.end();
    this.wave.end();
    this.pane.close();
    this.unprint();
    removeEventListener("beforeunload", this.unsaved);
  }

  /** @param {URLSearchParams} query Go to the moment it names. */
  goTo(query) {
    const time = Number.parseFloat(query.get("t") ?? "");
    if (!Number.isFinite(time)) return;
    this.player.seek(time);
    this.#chooseAt(time);
  }

  // --- what is seen ------------------------------------------------------------------------

  #layout(job) {
    const { pane, player, wave, finder } = this;
    this.status = h("span", { class: "quiet save-state", role: "status" });
    this.notices = h("div", { class: "desk-notices" });
    this.selectionBar = h("div", { class: "selection-bar", role: "group", "aria-label": "Selected words", hidden: true });
    this.followButton = h("button", { type: "button", class: "button small follow", onclick: () => this.follow() }, icon("follow"), "Follow");
    const side = h("aside", { class: "side", "aria-label": "About this meeting" }, this.speakers.element,
      qualityPanel(job.transcript, {
        seek: (time) => this.#seek(time),
        doubt: (threshold) => { pane.threshold = threshold; pane.mark(); },
      }));
    const details = h("button", {
      type: "button", class: "button small side-switch", "aria-expanded": "false",
      onclick: () => details.setAttribute("aria-expanded", String(side.classList.toggle("open"))),
    }, icon("sliders"), h("span", null, "Details"));
    return h("div", { class: "desk" },
      h("header", { class: "desk-head" },
        h("div", { class: "desk-title" },
          h("h1", { dir: "auto", title: job.name }, job.name),
          h("p", { class: "quiet" }, `${moment(job.created_at)} · ${clock(job.transcript.duration)} · `,
            counted(job.transcript.speakers.length, "speaker", "speakers"), this.status)),
        h("div", { class: "desk-tools", role: "toolbar", "aria-label": "Transcript" }, this.#tools(job), details)),
      this.notices,
      h("div", { class: "listen" }, player.element, wave.element),
      finder.element,
      h("div", { class: "desk-body" }, h("div", { class: "reading" }, pane.scroller, this.selectionBar, player.audio && this.followButton), side));
  }

  #tools(job) {
    const tool = (name, label, key, run) => h("button",
      { type: "button", class: "icon-button", "aria-label": label, title: `${label} (${key})`, onclick: run }, icon(name));
    const { api, announce } = this.context;
    const more = h("button", {
      type: "button", class: "icon-button", "aria-label": "More for this meeting", title: "More", "aria-haspopup": "menu", "aria-expanded": "false",
      onclick: () => openMenu(more, "More for this meeting", [
        { label: "Find the speakers again", run: () => this.#rerun(["diarize"]) },
        { label: "Transcribe again", run: () => this.#rerun([]) },
        { label: "Delete", run: () => this.#delete(job) },
      ]),
    }, icon("more"));
    return [
      this.mayEdit && [tool("undo", "Undo", "Ctrl+Z", () => this.undo()), tool("redo", "Redo", "Ctrl+Y", () => this.redo())],
      tool("search", "Find", "/", () => this.finder.show()),
      tool("history", "What was changed", "H", () => this.history()),
      tool("help", "Keys", "?", () => openHelp()),
      exportButton(api, this.path, announce, () => this.#saved()),
      this.mayEdit && more,
    ];
  }

  #show() {
    const { segments, names } = this.editing.state;
    this.cast.names = names;
    this.cast.know(speakersIn(segments, this.cast.labels));
    this.pane.show(segments);
    this.wave.show(segments);
    this.speakers.show(segments);
    this.finder.refresh();
    this.#selection();
  }

  async #outline(address) {
    if (!address) return;
    try {
      const answer = await this.context.api.call("GET", address, { headers: { Accept: "application/octet-stream" } });
      this.wave.outline(new Peaks(await answer.arrayBuffer()));
    } catch {
      // the picture stays flat; everything works without it
    }
  }

  #listen() {
    const { pane, player, editing, finder, speakers, context } = this;
    player.addEventListener("tick", () => {
      pane.hear(player.time, player.playing);
      this.wave.tick(player.time);
    });
    pane.addEventListener("seek", ({ detail }) => this.#seek(detail));
    pane.addEventListener("player", ({ detail }) => this[detail]());
    pane.addEventListener("save", ({ detail: { at, text } }) => editing.change([{ segment: at, text }]));
    pane.addEventListener("selected", () => this.#selection());
    pane.addEventListener("followed", () => this.#sayFollowing());
    pane.addEventListener("act", ({ detail }) => this.#act(detail));
    pane.scroller.addEventListener("keydown", (event) => this.#key(event));
    editing.addEventListener("change", () => this.#show());
    editing.addEventListener("saving", () => {
      this.status.textContent = editing.waiting ? " · saving…" : " · saved";
    });
    editing.addEventListener("conflict", ({ detail }) => this.#conflict(detail));
    editing.addEventListener("refused", ({ detail }) => this.#conflict(detail));
    finder.addEventListener("found", () => pane.mark());
    finder.addEventListener("closed", () => pane.focus());
    finder.addEventListener("show", ({ detail }) => { pane.follow(false); pane.choose(detail.segment, detail.from); });
    finder.addEventListener("replace", ({ detail }) => this.#replace(detail));
    speakers.addEventListener("rename", ({ detail: { label, name } }) => {
      if (name === null || name === (this.cast.names[label] ?? "")) this.speakers.show(this.segments);
      else editing.name(label, name).then(() => context.announce(`${label} is called ${name || label} everywhere.`));
    });
    speakers.addEventListener("reassign", ({ detail: { from, to } }) => editing.reassign(from, to));
    this.unprint = printable(() => ({ title: editing.job.name, segments: this.segments, cast: this.cast }));
    this.unsaved = (event) => { if (pane.typing || editing.waiting) event.preventDefault(); };
    addEventListener("beforeunload", this.unsaved);
    this.#sayFollowing();
  }

  #sayFollowing() { this.followButton.setAttribute("aria-pressed", String(this.pane.following)); }

  #key(event) {
    const does = meant(MOVING, event) ?? (singleKeys.on && !event.target.matches("input, textarea, select") ? meant(SINGLE, event) : undefined);
    if (!does) return;
    if ((event.key === "Enter" || event.key === " ") && event.target.closest("[data-act]")) return; // presses the button
    event.preventDefault();
    this[does](event);
  }

  // --- what keys and buttons do --------------------------------------------------------------

  toggle() { this.player.toggle(); }
  back() { this.player.skip(-5); }
  forward() { this.player.skip(5); }
  slower() { this.context.announce(`Speed ${this.player.faster(-1)}`); }
  faster() { this.context.announce(`Speed ${this.player.faster(1)}`); }
  down() { this.pane.move(1, "segment"); }
  up() { this.pane.move(-1, "segment"); }
  right() { this.pane.move(1, "word"); }
  left() { this.pane.move(-1, "word"); }
  selectRight() { this.pane.move(1, "word", true); }
  selectLeft() { this.pane.move(-1, "word", true); }
  first() { this.pane.move(-Infinity, "segment"); }
  last() { this.pane.move(Infinity, "segment"); }
  undo() { this.#ifAllowed(() => this.editing.undo()); }
  find() { this.finder.show(); }
  history() { openHistory(this.context.api, this.path, this.cast).catch((problem) => this.context.announce(problem.message)); }
  help() { openHelp(); }
  nextHit() { this.finder.step(1); }
  previousHit() { this.finder.step(-1); }
  follow() { this.pane.follow(!this.pane.following); }

  redo() {
    this.#ifAllowed(async () => {
      if (!await this.editing.redo()) this.context.announce("There is nothing to do again.");
    });
  }

  seek() {
    this.player.seek(this.#chosen.start);
    this.player.play();
  }

  drop() {
    this.pane.cursor.drop();
    document.getSelection().removeAllRanges();
    this.pane.mark();
    this.#selection();
  }

  edit() { this.#ifAllowed(() => this.pane.edit(this.pane.cursor.at.segment)); }

  split() {
    const { segment, word } = this.pane.cursor.at;
    if (word === 0) this.context.announce("Choose the word that shall begin the new segment.");
    else this.#ifAllowed(() => this.editing.change([{ segment, split_at: word }]));
  }

  merge() {
    const { segment } = this.pane.cursor.at;
    if (segment + 1 === this.segments.length) this.context.announce("This is the last segment.");
    else this.#ifAllowed(() => this.editing.change([{ segment, merge: true }]));
  }

  /** @param {KeyboardEvent} event The digit says who. */
  assign({ key }) {
    const label = key === "0" ? null : this.cast.labels[Number(key) - 1];
    if (label === undefined) this.context.announce(`There is no speaker ${key}; N makes a new one.`);
    else this.give(label);
  }

  fresh() { this.give(this.cast.fresh()); }

  rename() {
    const { speaker } = this.segments[this.pane.cursor.at.segment];
    if (speaker !== null) this.#ifAllowed(() => this.speakers.rename(speaker));
  }

  link() {
    const address = `${location.origin}${location.pathname}${this.address}?t=${this.#chosen.start.toFixed(1)}`;
    copy(address, this.context.announce, "The link was copied.");
  }

  /** Give the selected words, else the chosen segment, to somebody. @param {string|null} label */
  give(label) {
    const { cursor } = this.pane;
    const changes = cursor.selection
      ? reassigning(this.segments, ...cursor.selection, label)
      : [{ segment: cursor.at.segment, speaker: label }];
    this.#ifAllowed(() => {
      this.drop();
      this.editing.change(changes);
      this.context.announce(`Given to ${this.cast.name(label)}.`);
    });
  }

  // --- the rest --------------------------------------------------------------------------------

  get #chosen() {
    const { segment, word } = this.pane.cursor.at;
    return this.segments[segment].words[word];
  }

  #ifAllowed(run) {
    if (this.mayEdit) run();
    else this.context.announce("This key may only read.");
  }

  #seek(time) {
    this.player.seek(time);
    this.pane.hear(time, false);
  }

  #act({ name, at, button }) {
    if (this.pane.cursor.at.segment !== at) this.pane.cursor.choose(at);
    if (name === "edit") this.edit();
    else if (name === "speaker") openMenu(button, "Who says this", this.#castItems());
    else openMenu(button, "Actions", this.#rowItems(button));
  }

  #castItems() {
    const items = this.cast.labels.map((label, at) => ({
      label: h("bdi", null, this.cast.name(label)), hint: at < 9 ? String(at + 1) : "", run: () => this.give(label),
    }));
    return [...items, { label: "New speaker", hint: "N", run: () => this.fresh() },
      { label: "Unknown speaker", hint: "0", run: () => this.give(null) },
      { label: "Rename everywhere", hint: "R", run: () => this.rename() }];
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

  #selection() {
    const { selection } = this.pane.cursor;
    this.selectionBar.hidden = !selection || !this.mayEdit;
    if (this.selectionBar.hidden) return;
    const give = (label, text) => h("button", { type: "button", class: "button small", vars: { "--voice": this.cast.colour(label) }, onclick: () => this.give(label) }, text);
    fill(this.selectionBar, h("span", null, "Give to"),
      this.cast.labels.map((label) => give(label, h("bdi", null, this.cast.name(label)))),
      give(this.cast.fresh(), "New speaker"));
  }

  #chooseAt(time) {
    this.pane.hear(time, false);
    const at = this.segments.findLastIndex((each) => each.start <= time + 0.05);
    if (at < 0) return;
    this.pane.choose(at);
    this.pane.list.reveal(at, 0.3);
  }

  async #replace({ find, put, count }) {
    if (!find) return;
    if (!put) {
      this.context.announce("Type what shall stand there instead.");
      this.finder.put.focus();
      return;
    }
    const text = `${counted(count, "place", "places")} with “${find}” will say “${put}”. Undo takes it back.`;
    if (await confirmed("Replace everywhere?", text, "Replace")) {
      await this.editing.replace(find, put);
      this.context.announce("Replaced.");
    }
  }

  #conflict({ message, texts }) {
    const close = () => fill(this.notices);
    fill(this.notices, h("div", { class: "notice warning", role: "alert" }, icon("warning"),
      h("p", null, message, " The transcript was loaded again.",
        texts.length > 0 && " What you typed is still there; look at it and save it again."),
      h("button", { type: "button", class: "icon-button", "aria-label": "Close this notice", onclick: close }, icon("close"))));
    for (const { text, start } of texts) {
      const at = this.segments.findLastIndex((each) => each.start <= start + 0.05);
      this.pane.edit(Math.max(0, at), text);
    }
  }

  async #saved() {
    while (this.editing.waiting) await new Promise((done) => { this.editing.addEventListener("saving", done, { once: true }); });
  }

  async #rerun(tasks) {
    const text = "It runs again from the recording; what was edited here is put aside with the words it belonged to.";
    if (!await confirmed("Run this again?", text, "Run again")) return;
    await this.context.api.post(`${this.path}/rerun`, { tasks }).then(this.reload, (problem) => this.#conflict({ message: problem.message, texts: [] }));
  }

  async #delete(job) {
    if (!await confirmed("Delete this meeting?", `${job.name}: the recording and its words will be gone.`, "Delete")) return;
    await this.context.api.delete(this.path).then(() => this.context.navigate("#/"), (problem) => this.#conflict({ message: problem.message, texts: [] }));
  }
}
