/* The editor of a completed meeting. */

import { confirmed, fill, h } from "../dom.js";
import { clock, counted, moment } from "../format.js";
import { icon } from "../icons.js";
import { remove, rerun } from "../jobs/actions.js";
import { Speakers } from "./speakers.js";
import { Actions } from "./actions.js";
import { EditQueue, settled } from "./edit_queue.js";
import { exportButton } from "./export_menu.js";
import { FindBar } from "./find_bar.js";
import { MOVING, SINGLE, meant, singleKeys } from "./keys.js";
import { openMenu } from "./menu.js";
import { TranscriptView } from "./transcript_view.js";
import { Peaks } from "./peaks.js";
import { Player } from "./player.js";
import { printable } from "./print.js";
import { qualityPanel } from "./quality_panel.js";
import { SpeakersPanel } from "./speakers_panel.js";
import { Waveform } from "./waveform.js";

const ANYWHERE = new Set(["find", "nextMatch", "previousMatch", "undo", "redo"]);
const WITHOUT_WORDS = new Set(["toggle", "back", "forward", "slower", "faster", "undo", "redo", "history", "help"]);

export class Editor {
  /**
   * @param {HTMLElement} root
   * @param {import("../app.js").Context} context
   * @param {any} job With its transcript.
   * @param {() => void} reload Show the job again.
   */
  constructor(root, context, job, reload) {
    this.context = context;
    this.reload = reload;
    this.path = `/transcribe/${job.job_id}`;
    this.address = `#/job/${job.job_id}`;
    this.mayEdit = context.session.scopes.includes("submit");
    this.edits = new EditQueue(context.api, job);
    this.speakers = new Speakers(job.transcript.speakers, this.edits.state.names);
    this.player = new Player(job.links.audio, job.transcript.duration);
    this.wave = new Waveform(this.player, this.speakers);
    this.finder = new FindBar(() => this.segments, this.mayEdit);
    this.view = new TranscriptView(this.speakers, this.address, (at) => this.finder.wordsIn(at));
    this.speakersPanel = new SpeakersPanel(this.speakers, this.mayEdit);
    this.actions = new Actions(this);
    fill(root, this.#layout(job));
    this.#listen();
    root.classList.add("main-editor");
    this.root = root;
    this.#show();
    this.#loadPeaks(job.links.peaks);
    this.#loadVoices();
    this.goTo(context.query);
  }

  get segments() { return this.edits.state.segments; }

  /** Stop playing, save typed text, remove listeners. */
  close() {
    this.root.classList.remove("main-editor");
    this.player.end();
    this.wave.end();
    this.view.close();
    this.closed = true; // edits may still be under way
    this.stopPrinting();
    removeEventListener("beforeunload", this.unsaved);
    document.removeEventListener("keydown", this.anywhere);
  }

  /** @param {URLSearchParams} query Go to its moment `t`. */
  goTo(query) {
    const time = Number.parseFloat(query.get("t") ?? "");
    if (!Number.isFinite(time)) return;
    this.player.seek(time);
    this.#goToTime(time);
  }

  /** @param {string} text Shown in the status line. */
  say(text) {
    this.status.textContent = ` · ${text}`;
  }

  // --- layout ------------------------------------------------------------------------

  #layout(job) {
    const { view, player, wave, finder } = this;
    const empty = job.transcript.segments.length === 0;
    this.status = h("span", { class: "quiet save-state", role: "status" });
    this.count = h("span", { class: "speaker-count" });
    this.notices = h("div", { class: "editor-notices" });
    this.selectionBar = h("div", { class: "selection-bar", role: "group", "aria-label": "Selected words", hidden: true });
    this.followButton = h("button", { type: "button", class: "button small follow", onclick: () => this.actions.follow() }, icon("follow"), "Follow");
    const side = h("aside", {
      class: "side", id: "details", tabindex: -1, "aria-label": "About this meeting",
      onkeydown: (event) => { if (event.key === "Escape" && side.classList.contains("open")) details.click(); },
    }, this.speakersPanel.element,
      qualityPanel(job.transcript, {
        seek: (time) => this.#seek(time),
        doubt: (threshold) => { view.threshold = threshold; view.mark(); },
      }));
    const details = h("button", {
      type: "button", class: "button small side-switch", "aria-expanded": "false", "aria-controls": "details",
      onclick: () => {
        const open = side.classList.toggle("open");
        details.setAttribute("aria-expanded", String(open));
        (open ? side : details).focus();
      },
    }, icon("sliders"), h("span", null, "Details"));
    return h("div", { class: "editor" },
      h("header", { class: "editor-head" },
        h("div", { class: "editor-title" },
          h("h1", { dir: "auto", title: job.name }, job.name),
          h("p", { class: "quiet" }, `${moment(job.created_at)} · ${clock(job.transcript.duration)} · `,
            this.count, this.status)),
        h("div", { class: "editor-tools", role: "toolbar", "aria-label": "Transcript" }, this.#tools(job), details)),
      this.notices,
      h("div", { class: "listen" }, player.element, wave.element),
      finder.element,
      h("div", { class: "editor-body" }, h("div", { class: "reading" }, view.scroller,
        empty && h("p", { class: "silent" }, "No speech was found in this recording."), this.selectionBar, player.audio && !empty && this.followButton), side));
  }

  #tools(job) {
    const tool = (name, label, key, run) => h("button",
      { type: "button", class: "icon-button", "aria-label": label, title: `${label} (${key})`, onclick: run }, icon(name));
    const { api } = this.context;
    const more = h("button", {
      type: "button", class: "icon-button", "aria-label": "More actions", title: "More", "aria-haspopup": "menu", "aria-expanded": "false",
      onclick: () => openMenu(more, "More actions", [
        { label: "Run again", run: () => this.#runOnJob(rerun, this.reload) },
        { label: "Delete", run: () => this.#runOnJob(remove, () => this.context.navigate("#/")) },
      ]),
    }, icon("more"));
    return [
      this.mayEdit && [tool("undo", "Undo", "Ctrl+Z", () => this.actions.undo()), tool("redo", "Redo", "Ctrl+Y", () => this.actions.redo())],
      tool("search", "Find", "/", () => this.finder.show()),
      tool("history", "Edit history", "H", () => this.actions.history()),
      tool("help", "Keyboard shortcuts", "?", () => this.actions.help()),
      exportButton(api, this.path, (text) => this.say(text), () => settled(this.path)),
      this.mayEdit && more,
    ];
  }

  #show() {
    const { segments, silent, speakers, names } = this.edits.state;
    this.speakers.names = names;
    this.speakers.update(speakers);
    this.count.textContent = counted(this.speakers.labels.length, "speaker", "speakers");
    this.view.show(segments);
    this.wave.show(segments);
    this.speakersPanel.show(segments, silent);
    this.finder.refresh();
    this.#showSelection();
  }

  async #loadPeaks(address) {
    if (!address) return;
    try {
      const answer = await this.context.api.call("GET", address, { headers: { Accept: "application/octet-stream" } });
      this.wave.showPeaks(new Peaks(await answer.arrayBuffer()));
    } catch {
      // the waveform stays flat
    }
  }

  async #loadVoices() {
    try {
      const { voice_profiles: enabled, data } = await this.context.api.get(`${this.path}/speakers`);
      if (enabled) this.speakersPanel.showVoices(data);
    } catch {
      // no speakers are suggested
    }
  }

  async #remember({ label, name }) {
    await settled(this.path); // its status message would replace the one below
    try {
      await this.context.api.post("/voices", { job_id: this.edits.job.job_id, speaker: label, name, consent: true });
      this.say(`${name}’s voice was saved.`);
    } catch (problem) {
      this.context.showError(problem.message);
    }
  }

  #listen() {
    const { view, player, edits, finder, speakersPanel, context } = this;
    player.addEventListener("tick", () => {
      view.showTime(player.time, player.playing);
      this.wave.tick(player.time);
    });
    view.addEventListener("seek", ({ detail }) => this.#seek(detail));
    view.addEventListener("player", ({ detail }) => this.actions[detail]());
    view.addEventListener("save", ({ detail: { at, text } }) => edits.change([{ segment: at, text }], at));
    view.addEventListener("selected", () => this.#showSelection());
    view.addEventListener("followed", () => this.#showFollowing());
    view.addEventListener("act", ({ detail }) => this.actions.act(detail));
    view.scroller.addEventListener("keydown", (event) => this.#key(event));
    edits.addEventListener("change", () => { if (!this.closed) this.#show(); });
    edits.addEventListener("saving", () => {
      this.say(edits.waiting ? "saving…" : "saved");
    });
    edits.addEventListener("conflict", ({ detail: { texts } }) => this.#showConflict({
      message: "The transcript was changed elsewhere. The latest version is shown.", texts,
    }));
    edits.addEventListener("refused", ({ detail }) => {
      if (detail.texts.length || this.closed) this.#showConflict(detail);
      else this.say(detail.message);
    });
    finder.addEventListener("found", () => view.mark());
    finder.addEventListener("closed", () => view.focus());
    finder.addEventListener("show", ({ detail }) => { view.follow(false); view.choose(detail.segment, detail.from); });
    finder.addEventListener("replace", ({ detail }) => this.#replace(detail));
    speakersPanel.addEventListener("rename", ({ detail: { label, name } }) => {
      edits.name(label, name);
      this.say(name ? `${label} was renamed to ${name}.` : `The name of ${label} was removed.`);
    });
    speakersPanel.addEventListener("remember", ({ detail }) => this.#remember(detail));
    speakersPanel.addEventListener("reassign", ({ detail: { from, to } }) => edits.reassign(from, to));
    this.stopPrinting = printable(() => ({ title: edits.job.name, segments: this.segments, speakers: this.speakers }));
    this.unsaved = (event) => { if (view.typing) event.preventDefault(); };
    addEventListener("beforeunload", this.unsaved);
    this.anywhere = (event) => this.#keyAnywhere(event);
    document.addEventListener("keydown", this.anywhere);
    this.#showFollowing();
  }

  #showFollowing() { this.followButton.setAttribute("aria-pressed", String(this.view.following)); }

  #key(event) {
    const { target } = event;
    if (target.closest("[data-act]") && (event.key === "Enter" || event.key === " ")) return; // activates the button
    this.#perform(meant(MOVING, event) ?? (singleKeys.on ? meant(SINGLE, event) : undefined), event);
  }

  /** Keys that work wherever the focus is, except in fields. */
  #keyAnywhere(event) {
    if (event.defaultPrevented || event.target.closest("input, textarea, select, dialog, [role='menu']")) return;
    const name = meant(MOVING, event);
    if (ANYWHERE.has(name)) this.#perform(name, event);
  }

  #perform(name, event) {
    if (!name || (!this.segments.length && !WITHOUT_WORDS.has(name))) return;
    event.preventDefault();
    this.actions[name](event);
  }

  #seek(time) {
    this.player.seek(time);
    this.view.showTime(time, false);
  }

  #showSelection() {
    const { selection } = this.view.cursor;
    this.selectionBar.hidden = !selection || !this.mayEdit;
    if (this.selectionBar.hidden) return;
    const button = (label, text) => h("button", { type: "button", class: "button small", vars: { "--voice": this.speakers.colour(label) }, onclick: () => this.actions.assignTo(label) }, text);
    fill(this.selectionBar, h("span", null, "Assign to"),
      this.speakers.labels.map((label) => button(label, h("bdi", null, this.speakers.name(label)))),
      button(this.speakers.newLabel(), "New speaker"));
    this.view.list.reveal(this.view.cursor.at.segment); // the bar covers part of the list
  }

  #goToTime(time) {
    this.view.showTime(time, false);
    const at = this.segments.findLastIndex((each) => each.start <= time + 0.05);
    if (at < 0) return;
    this.view.choose(at);
    this.view.list.reveal(at, 0.3);
  }

  async #replace({ find, put }) {
    if (!put) {
      this.say("Type the replacement first.");
      this.finder.put.focus();
      return;
    }
    const text = `“${find}” becomes “${put}” wherever it stands as whole words. You can undo this.`;
    if (!(await confirmed("Replace everywhere?", text, "Replace"))) return;
    const answer = await this.edits.replace(find, put);
    if (answer) this.say(`Replaced in ${counted(answer.changed, "place", "places")}.`);
  }

  #showConflict({ message, texts }) {
    if (this.closed) {
      const lost = texts.map(({ text }) => `“${text}”`).join(" ");
      this.context.showError(`An edit of ${this.edits.job.name} was not saved: ${lost} ${message}`);
      return;
    }
    this.say("not saved");
    const close = () => { fill(this.notices); this.view.focus(); };
    fill(this.notices, h("div", { class: "notice warning", role: "alert" }, icon("warning"),
      h("p", null, message, texts.length > 0 && " Your text is still in its editor; check it and save it again."),
      h("button", { type: "button", class: "icon-button", "aria-label": "Close this notice", onclick: close }, icon("close"))));
    for (const { text, start } of texts) {
      const at = this.segments.findLastIndex((each) => each.start <= start + 0.05);
      this.view.edit(Math.max(0, at), text);
    }
  }

  async #runOnJob(action, then) {
    try {
      if (await action(this.context, this.edits.job)) then();
    } catch (problem) {
      this.context.showError(problem.message);
    }
  }
}
