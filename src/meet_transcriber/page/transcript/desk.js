/* A finished meeting: everything that can be done with it. */

import { confirmed, fill, h } from "../dom.js";
import { clock, counted, moment } from "../format.js";
import { icon } from "../icons.js";
import { remove, rerun } from "../jobs/actions.js";
import { Cast } from "./cast.js";
import { Deeds } from "./deeds.js";
import { Editing, settled } from "./editing.js";
import { exportButton } from "./exporting.js";
import { FindBar } from "./find_bar.js";
import { MOVING, SINGLE, meant, singleKeys } from "./keys.js";
import { openMenu } from "./menu.js";
import { Pane } from "./pane.js";
import { Peaks } from "./peaks.js";
import { Player } from "./player.js";
import { printable } from "./printing.js";
import { qualityPanel } from "./quality_panel.js";
import { SpeakersPanel } from "./speakers_panel.js";
import { Waveform } from "./waveform.js";

const ANYWHERE = new Set(["find", "nextHit", "previousHit", "undo", "redo"]);
const WITHOUT_WORDS = new Set(["toggle", "back", "forward", "slower", "faster", "undo", "redo", "history", "help"]);

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
    this.deeds = new Deeds(this);
    fill(root, this.#layout(job));
    this.#listen();
    root.classList.add("main-desk");
    this.root = root;
    this.#show();
    this.#outline(job.links.peaks);
    this.#voices();
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
    document.removeEventListener("keydown", this.anywhere);
  }

  /** @param {URLSearchParams} query Go to the moment it names. */
  goTo(query) {
    const time = Number.parseFloat(query.get("t") ?? "");
    if (!Number.isFinite(time)) return;
    this.player.seek(time);
    this.#chooseAt(time);
  }

  /** @param {string} text Tell what has come of something, for a moment. */
  say(text) {
    this.status.textContent = ` · ${text}`;
  }

  // --- what is seen ------------------------------------------------------------------------

  #layout(job) {
    const { pane, player, wave, finder } = this;
    const silent = job.transcript.segments.length === 0;
    this.status = h("span", { class: "quiet save-state", role: "status" });
    this.count = h("span", { class: "speaker-count" });
    this.notices = h("div", { class: "desk-notices" });
    this.selectionBar = h("div", { class: "selection-bar", role: "group", "aria-label": "Selected words", hidden: true });
    this.followButton = h("button", { type: "button", class: "button small follow", onclick: () => this.deeds.follow() }, icon("follow"), "Follow");
    const side = h("aside", {
      class: "side", id: "details", tabindex: -1, "aria-label": "About this meeting",
      onkeydown: (event) => { if (event.key === "Escape" && side.classList.contains("open")) details.click(); },
    }, this.speakers.element,
      qualityPanel(job.transcript, {
        seek: (time) => this.#seek(time),
        doubt: (threshold) => { pane.threshold = threshold; pane.mark(); },
      }));
    const details = h("button", {
      type: "button", class: "button small side-switch", "aria-expanded": "false", "aria-controls": "details",
      onclick: () => {
        const open = side.classList.toggle("open");
        details.setAttribute("aria-expanded", String(open));
        (open ? side : details).focus();
      },
    }, icon("sliders"), h("span", null, "Details"));
    return h("div", { class: "desk" },
      h("header", { class: "desk-head" },
        h("div", { class: "desk-title" },
          h("h1", { dir: "auto", title: job.name }, job.name),
          h("p", { class: "quiet" }, `${moment(job.created_at)} · ${clock(job.transcript.duration)} · `,
            this.count, this.status)),
        h("div", { class: "desk-tools", role: "toolbar", "aria-label": "Transcript" }, this.#tools(job), details)),
      this.notices,
      h("div", { class: "listen" }, player.element, wave.element),
      finder.element,
      h("div", { class: "desk-body" }, h("div", { class: "reading" }, pane.scroller,
        silent && h("p", { class: "silent" }, "Nobody speaks in this recording."), this.selectionBar, player.audio && !silent && this.followButton), side));
  }

  #tools(job) {
    const tool = (name, label, key, run) => h("button",
      { type: "button", class: "icon-button", "aria-label": label, title: `${label} (${key})`, onclick: run }, icon(name));
    const { api } = this.context;
    const more = h("button", {
      type: "button", class: "icon-button", "aria-label": "More for this meeting", title: "More", "aria-haspopup": "menu", "aria-expanded": "false",
      onclick: () => openMenu(more, "More for this meeting", [
        { label: "Run again", run: () => this.#toJob(rerun, this.reload) },
        { label: "Delete", run: () => this.#toJob(remove, () => this.context.navigate("#/")) },
      ]),
    }, icon("more"));
    return [
      this.mayEdit && [tool("undo", "Undo", "Ctrl+Z", () => this.deeds.undo()), tool("redo", "Redo", "Ctrl+Y", () => this.deeds.redo())],
      tool("search", "Find", "/", () => this.finder.show()),
      tool("history", "What was changed", "H", () => this.deeds.history()),
      tool("help", "Keys", "?", () => this.deeds.help()),
      exportButton(api, this.path, (text) => this.say(text), () => settled(this.path)),
      this.mayEdit && more,
    ];
  }

  #show() {
    const { segments, silent, speakers, names } = this.editing.state;
    this.cast.names = names;
    this.cast.know(speakers);
    this.count.textContent = counted(this.cast.labels.length, "speaker", "speakers");
    this.pane.show(segments);
    this.wave.show(segments);
    this.speakers.show(segments, silent);
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

  async #voices() {
    try {
      const { voice_profiles: kept, data } = await this.context.api.get(`${this.path}/speakers`);
      if (kept) this.speakers.sound(data);
    } catch {
      // nobody is suggested; everything else works without it
    }
  }

  async #remember({ label, name }) {
    await settled(this.path); // what is said of that stands in the same place
    try {
      await this.context.api.post("/voices", { job_id: this.editing.job.job_id, speaker: label, name, consent: true });
      this.say(`${name}’s voice is remembered.`);
    } catch (problem) {
      this.context.tell(problem.message);
    }
  }

  #listen() {
    const { pane, player, editing, finder, speakers, context } = this;
    player.addEventListener("tick", () => {
      pane.hear(player.time, player.playing);
      this.wave.tick(player.time);
    });
    pane.addEventListener("seek", ({ detail }) => this.#seek(detail));
    pane.addEventListener("player", ({ detail }) => this.deeds[detail]());
    pane.addEventListener("save", ({ detail: { at, text } }) => editing.change([{ segment: at, text }], at));
    pane.addEventListener("selected", () => this.#selection());
    pane.addEventListener("followed", () => this.#sayFollowing());
    pane.addEventListener("act", ({ detail }) => this.deeds.act(detail));
    pane.scroller.addEventListener("keydown", (event) => this.#key(event));
    editing.addEventListener("change", () => this.#show());
    editing.addEventListener("saving", () => {
      this.say(editing.waiting ? "saving…" : "saved");
    });
    editing.addEventListener("conflict", ({ detail: { texts } }) => this.#conflict({
      message: "The transcript was changed elsewhere. The latest version is shown.", texts,
    }));
    editing.addEventListener("refused", ({ detail }) => {
      if (detail.texts.length) this.#conflict(detail);
      else this.say(detail.message);
    });
    finder.addEventListener("found", () => pane.mark());
    finder.addEventListener("closed", () => pane.focus());
    finder.addEventListener("show", ({ detail }) => { pane.follow(false); pane.choose(detail.segment, detail.from); });
    finder.addEventListener("replace", ({ detail }) => this.#replace(detail));
    speakers.addEventListener("rename", ({ detail: { label, name } }) => {
      editing.name(label, name);
      this.say(`${label} is called ${name || label} everywhere.`);
    });
    speakers.addEventListener("remember", ({ detail }) => this.#remember(detail));
    speakers.addEventListener("reassign", ({ detail: { from, to } }) => editing.reassign(from, to));
    this.unprint = printable(() => ({ title: editing.job.name, segments: this.segments, cast: this.cast }));
    this.unsaved = (event) => { if (pane.typing) event.preventDefault(); };
    addEventListener("beforeunload", this.unsaved);
    this.anywhere = (event) => this.#keyAnywhere(event);
    document.addEventListener("keydown", this.anywhere);
    this.#sayFollowing();
  }

  #sayFollowing() { this.followButton.setAttribute("aria-pressed", String(this.pane.following)); }

  #key(event) {
    const { target } = event;
    if (target.closest("[data-act]") && (event.key === "Enter" || event.key === " ")) return; // presses the button
    this.#do(meant(MOVING, event) ?? (singleKeys.on ? meant(SINGLE, event) : undefined), event);
  }

  /** Keys that count wherever the focus is, but where something is typed. */
  #keyAnywhere(event) {
    if (event.defaultPrevented || event.target.closest("input, textarea, select, dialog, [role='menu']")) return;
    const does = meant(MOVING, event);
    if (ANYWHERE.has(does)) this.#do(does, event);
  }

  #do(does, event) {
    if (!does || (!this.segments.length && !WITHOUT_WORDS.has(does))) return;
    event.preventDefault();
    this.deeds[does](event);
  }

  #seek(time) {
    this.player.seek(time);
    this.pane.hear(time, false);
  }

  #selection() {
    const { selection } = this.pane.cursor;
    this.selectionBar.hidden = !selection || !this.mayEdit;
    if (this.selectionBar.hidden) return;
    const give = (label, text) => h("button", { type: "button", class: "button small", vars: { "--voice": this.cast.colour(label) }, onclick: () => this.deeds.give(label) }, text);
    fill(this.selectionBar, h("span", null, "Give to"),
      this.cast.labels.map((label) => give(label, h("bdi", null, this.cast.name(label)))),
      give(this.cast.fresh(), "New speaker"));
    this.pane.list.reveal(this.pane.cursor.at.segment); // there is less room now
  }

  #chooseAt(time) {
    this.pane.hear(time, false);
    const at = this.segments.findLastIndex((each) => each.start <= time + 0.05);
    if (at < 0) return;
    this.pane.choose(at);
    this.pane.list.reveal(at, 0.3);
  }

  async #replace({ find, put }) {
    if (!put) {
      this.say("Type the replacement first.");
      this.finder.put.focus();
      return;
    }
    const text = `“${find}” becomes “${put}” wherever it stands as whole words. You can undo this.`;
    if (!(await confirmed("Replace everywhere?", text, "Replace"))) return;
    const answer = await this.editing.replace(find, put);
    if (answer) this.say(`Replaced in ${counted(answer.changed, "place", "places")}.`);
  }

  #conflict({ message, texts }) {
    this.say("not saved");
    const close = () => { fill(this.notices); this.pane.focus(); };
    fill(this.notices, h("div", { class: "notice warning", role: "alert" }, icon("warning"),
      h("p", null, message, texts.length > 0 && " Your text is still in its editor; check it and save it again."),
      h("button", { type: "button", class: "icon-button", "aria-label": "Close this notice", onclick: close }, icon("close"))));
    for (const { text, start } of texts) {
      const at = this.segments.findLastIndex((each) => each.start <= start + 0.05);
      this.pane.edit(Math.max(0, at), text);
    }
  }

  async #toJob(does, then) {
    try {
      if (await does(this.context, this.editing.job)) then();
    } catch (problem) {
      this.context.tell(problem.message);
    }
  }
}
