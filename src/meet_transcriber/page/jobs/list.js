/* The list of jobs: pages from the server, updated by its events. */

import { fill, h } from "../dom.js";
import { makeRow } from "./row.js";

const PAGE_SIZE = 30;

/** @typedef {{states: string[], name: string}} Filter */

export class JobList {
  /** @type {Map<string, {job: any, row: import("./row.js").Row}>} */
  #rows = new Map();
  #filter = { states: /** @type {string[]} */ ([]), name: "" };
  #more = false;
  #requests = 0;
  /** Events received before the first page; null afterwards. @type {any[]|null} */
  #early = [];

  /**
   * @param {import("../api.js").Api} api
   * @param {Object<string, (job: any) => void>} handlers Of the buttons of a row; empty for read-only keys.
   * @param {(job: any, before: any) => void} changed Called when a listed job changes its state.
   */
  constructor(api, handlers, changed) {
    this.api = api;
    this.handlers = handlers;
    this.changed = changed;
    this.element = h("ul", { class: "jobs", "aria-label": "Meetings" });
    this.message = h("div", { class: "jobs-message" });
    this.button = h("button", { class: "button", type: "button", hidden: true, onclick: () => this.#load(true) }, "Show more");
    this.root = h("div", null, this.element, this.message, h("p", { class: "more" }, this.button));
  }

  /** @param {Filter} filter Show matching jobs, newest first. */
  show(filter) {
    this.#filter = filter;
    return this.#load(false);
  }

  /** Reload the shown jobs, as events may have been missed. */
  refresh() { return this.#load(false); }

  async #load(further) {
    const request = ++this.#requests;
    const query = new URLSearchParams({ limit: String(further ? PAGE_SIZE : Math.min(100, Math.max(PAGE_SIZE, this.#rows.size))), q: this.#filter.name });
    for (const state of this.#filter.states) query.append("status", state);
    if (further) query.set("after", this.#last() ?? "");
    let page;
    try {
      page = await this.api.get(`/transcribe?${query}`);
    } catch (problem) {
      if (request === this.#requests) this.#showMessage("The list could not be loaded", problem.message, "Try again", () => this.refresh());
      return;
    }
    if (request !== this.#requests) return; // the filter changed meanwhile
    if (!further) this.#keepOnly(new Set(page.data.map((job) => job.job_id)));
    this.#more = page.has_more;
    for (const job of page.data) this.#put(job);
    const early = this.#early ?? [];
    this.#early = null;
    for (const job of early) this.apply(job);
    this.#update();
  }

  /** Update relative times. */
  updateTimes() { for (const { job, row } of this.#rows.values()) row.show(job); }

  /** @param {any} job From an event. */
  apply(job) {
    if (this.#early) {
      this.#early.push(job);
      return;
    }
    const known = this.#rows.get(job.job_id);
    if (known && known.job.version > job.version) return;
    if (known && known.job.status !== job.status) this.changed(job, known.job);
    if (!this.#fits(job)) this.remove(job.job_id);
    else if (known || !this.#more || job.created_at > (this.#oldest() ?? "")) this.#put(job);
    this.#update();
  }

  /** @param {string} id */
  remove(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    if (row.row.element.contains(document.activeElement)) {
      const next = row.row.element.nextElementSibling ?? row.row.element.previousElementSibling;
      (next?.querySelector("a") ?? document.getElementById("main"))?.focus();
    }
    row.row.element.remove();
    this.#rows.delete(id);
    this.#update();
  }

  #fits(job) {
    const { states, name } = this.#filter;
    return (!states.length || states.includes(job.status)) && job.name.toLowerCase().includes(name.toLowerCase());
  }

  #put(job) {
    let known = this.#rows.get(job.job_id);
    if (!known) {
      known = { job, row: makeRow(this.handlers) };
      this.#rows.set(job.job_id, known);
      known.row.element.dataset.id = job.job_id;
      known.row.element.dataset.at = job.created_at;
      const after = [...this.element.children].find((each) => each.dataset.at < job.created_at);
      this.element.insertBefore(known.row.element, after ?? null);
    }
    known.job = { ...known.job, ...job };
    known.row.show(known.job);
  }

  #keepOnly(ids) {
    for (const id of [...this.#rows.keys()]) if (!ids.has(id)) this.remove(id);
  }

  #last() { return /** @type {HTMLElement|null} */ (this.element.lastElementChild)?.dataset.id; }

  #oldest() { return /** @type {HTMLElement|null} */ (this.element.lastElementChild)?.dataset.at; }

  #update() {
    this.button.hidden = !this.#more;
    if (this.#rows.size) fill(this.message);
    else if (this.#filter.states.length || this.#filter.name) this.#showMessage("No meetings match these filters", "Choose All or clear the name.");
    else if ("remove" in this.handlers) this.#showMessage("No meetings yet", "Drop a recording above, add one from a link, or record one.");
    else this.#showMessage("No meetings yet", "Your key is read-only, so you cannot add recordings.");
  }

  #showMessage(title, text, verb, act) {
    fill(this.message, h("h2", null, title), h("p", null, text), verb && h("button", { class: "button", type: "button", onclick: act }, verb));
  }
}
