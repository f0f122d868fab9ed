/* The edit history, latest first. */

import { h, openDialog } from "../dom.js";
import { moment } from "../format.js";

/**
 * @param {import("../api.js").Api} api
 * @param {string} path Of the job.
 */
export async function openHistory(api, path) {
  const { data } = await api.get(`${path}/edits`);
  return openDialog("Edit history", [
    data.length
      ? h("ol", { class: "history", reversed: true }, data.map(entry).reverse())
      : h("p", null, "No edits yet."),
    h("div", { class: "dialog-actions" }, h("button", { type: "submit", class: "button primary", autofocus: true }, "Close")),
  ], { wide: true });
}

function entry({ kind, text, undone, summary, made_at: madeAt, author }) {
  return h("li", { class: undone ? "undone" : null },
    h("p", null, h("span", { dir: "auto" }, summary), kind === "text" && [" ", h("q", { dir: "auto" }, text)],
      undone && h("span", { class: "quiet" }, " (undone)")),
    h("p", { class: "quiet" }, h("time", { dateTime: madeAt }, moment(madeAt)), author && [", ", h("span", { dir: "auto" }, author)]));
}
