/* The view of a meeting in progress: progress bar and the words so far. */

import { fill, h } from "../dom.js";
import { clock } from "../format.js";
import { cancel } from "../jobs/actions.js";
import { progress } from "../jobs/labels.js";
import { lastNotAbove } from "./model.js";
import { VirtualList } from "./virtual_list.js";

export class ProgressView {
  #segments = [];

  /**
   * @param {HTMLElement} root
   * @param {import("../app.js").Context} context
   * @param {any} job
   * @param {() => void} reload Called when the job has ended.
   */
  constructor(root, context, job, reload) {
    this.bar = h("progress", { max: 100, value: 0, "aria-label": "Progress" });
    this.stage = h("p", { class: "progress-stage" });
    this.warnings = h("ul", { class: "warnings" });
    this.element = h("ol", { class: "segments plain" });
    this.scroller = h("div", { class: "transcript", role: "region", "aria-label": "Words so far", tabindex: 0 }, this.element);
    this.list = new VirtualList(this.scroller, this.element, {
      make: ({ start, text, language }) => h("li", { class: "segment" },
        h("span", { class: "moment" }, clock(start)), h("p", { class: "words", dir: "auto", lang: language }, text)),
      place: (row, at) => {
        row.setAttribute("aria-posinset", at + 1);
        row.setAttribute("aria-setsize", -1); // unknown while more arrive
      },
      estimate: ({ text }, _at, width) => 35 + 27 * Math.floor((text.length * 8) / Math.max(120, width - 100)),
    });
    this.root = root;
    root.classList.add("main-editor");
    fill(root, h("div", { class: "editor progress-view" },
      h("header", { class: "editor-head" }, h("h1", { dir: "auto" }, job.name),
        context.session.scopes.includes("submit") && h("button", {
          type: "button", class: "button small",
          onclick: () => cancel(context, job).catch((problem) => { this.stage.textContent = problem.message; }),
        }, "Cancel")),
      h("div", { class: "progress-bar" }, this.bar, this.stage, this.warnings),
      h("div", { class: "editor-body" }, h("div", { class: "reading" }, this.scroller))));
    this.#progress(job);
    const path = `/transcribe/${job.job_id}/events`;
    this.stopEvents = context.api.events(path, {
      progress: (data) => this.#progress(data),
      segment: (data) => this.#segment(data),
      warning: ({ message }) => this.warnings.append(h("li", { dir: "auto" }, message)),
      done: () => { context.announce("The transcript is ready."); reload(); },
      error: () => reload(),
    });
  }

  /** Stop following the job. */
  close() {
    this.stopEvents();
    this.list.close();
    this.root.classList.remove("main-editor");
  }

  /** Moments are shown when the transcript is ready. */
  goTo() {}

  #progress(job) {
    this.bar.value = job.progress;
    const text = progress(job);
    if (this.stage.textContent !== text) this.stage.textContent = text;
  }

  #segment(segment) {
    const at = lastNotAbove(this.#segments.length, (place) => this.#segments[place].start, segment.start);
    if (this.#segments[at]?.start === segment.start && this.#segments[at].text === segment.text) return; // sent again
    this.#segments = this.#segments.toSpliced(at + 1, 0, segment);
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.list.show(this.#segments)); // they arrive in batches
  }
}
