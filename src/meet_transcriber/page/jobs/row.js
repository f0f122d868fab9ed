/* One job in the list; updated in place, so that focus is kept. */

import { fill, h } from "../dom.js";
import { moment, since } from "../format.js";
import { icon } from "../icons.js";
import { facts, isActive, progress, state } from "./labels.js";

/**
 * @typedef {Object} Row
 * @property {HTMLElement} element
 * @property {(job: import("./labels.js").Entry) => void} show
 */

/**
 * @param {Object<string, (job: any) => void>} handlers A button for each: cancel, rerun, remove.
 * @returns {Row}
 */
export function makeRow(handlers) {
  let job = /** @type {any} */ (null);
  const name = h("a", { class: "job-name", dir: "auto" });
  const badge = h("span", { class: "badge" });
  const about = h("span", null);
  const time = h("time", null);
  const bar = h("div", { class: "meter", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
  const progressText = h("p", { class: "going" });
  const error = h("p", { class: "job-error" });
  const warnings = h("details", { class: "job-warnings" });
  const button = (verb, text, image) => h("button", {
    class: "icon-button", type: "button", title: text, onclick: () => handlers[verb](job),
  }, icon(image));
  const buttons = [["cancel", "Cancel", "cancel"], ["rerun", "Run again", "redo"], ["remove", "Delete", "trash"]]
    .filter(([verb]) => verb in handlers).map(([verb, text, image]) => /** @type {const} */ ([verb, button(verb, text, image)]));
  const element = h("li", { class: "job" },
    h("div", { class: "job-main" },
      h("div", { class: "job-head" }, name, badge),
      h("p", { class: "job-facts" }, about, time),
      bar, progressText, error, warnings),
    h("div", { class: "job-actions" }, buttons.map(([, each]) => each)));

  const show = (now) => {
    job = now;
    const active = isActive(job);
    const focused = document.activeElement;
    element.dataset.status = job.status;
    name.href = `#/job/${job.job_id}`;
    name.textContent = job.name;
    badge.textContent = state(job);
    about.textContent = facts(job);
    time.dateTime = job.created_at;
    time.title = moment(job.created_at);
    time.textContent = since(job.created_at);
    bar.hidden = progressText.hidden = !active;
    bar.setAttribute("aria-label", `Progress of ${job.name}`);
    bar.setAttribute("aria-valuenow", String(Math.floor(job.progress)));
    bar.style.setProperty("--share", `${job.progress}%`);
    progressText.textContent = active ? progress(job) : "";
    error.hidden = !job.error;
    error.textContent = job.error?.message ?? "";
    showWarnings(warnings, job.warnings ?? []);
    for (const [verb, each] of buttons) {
      each.hidden = (verb === "cancel") !== active && verb !== "remove";
      each.setAttribute("aria-label", `${each.title} ${job.name}`);
      if (each.hidden && each === focused) name.focus();
    }
  };
  return { element, show };
}

function showWarnings(details, warnings) {
  details.hidden = !warnings.length;
  if (details.dataset.shown === JSON.stringify(warnings)) return;
  details.dataset.shown = JSON.stringify(warnings);
  fill(details, h("summary", null, icon("warning"), warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`),
    h("ul", null, warnings.map((each) => h("li", { dir: "auto" }, each.message))));
}
