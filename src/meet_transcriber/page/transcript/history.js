/* Everything that people changed, the latest first. */

import { h, openDialog } from "../dom.js";
import { moment } from "../format.js";

/**
 * @param {import("../api.js").Api} api
 * @param {string} path Of the job.
 * @param {import("./cast.js").Cast} cast
 */
export async function openHistory(api, path, cast) {
  const { data } = await api.get(`${path}/edits`);
  const undone = takenBack(data);
  return openDialog("What was changed", [
    data.length
      ? h("ol", { class: "history", reversed: true }, data.map((edit, at) => entry(edit, undone.has(at), cast)).reverse())
      : h("p", null, "Nothing yet: this is what the engines wrote."),
    h("div", { class: "dialog-actions" }, h("button", { type: "submit", class: "button primary", autofocus: true }, "Close")),
  ], { wide: true });
}

function entry(edit, undone, cast) {
  return h("li", { class: undone ? "undone" : null },
    h("p", null, sentence(edit, cast), undone && h("span", { class: "quiet" }, " (undone)")),
    h("p", { class: "quiet" }, h("time", { dateTime: edit.made_at }, moment(edit.made_at)), edit.by && [" by ", h("bdi", null, edit.by)]));
}

function sentence({ kind, segment, text, speaker, at }, cast) {
  const place = `Segment ${segment + 1}`;
  const who = h("bdi", null, cast.name(speaker));
  switch (kind) {
    case "text": return [`${place}: `, h("q", { dir: "auto" }, text)];
    case "speaker": return [`${place} given to `, who];
    case "split": return `${place} split before word ${at + 1}`;
    case "merge": return `${place} merged with the next`;
    case "name": return text ? [speaker, " is called ", h("bdi", null, text)] : [speaker, " has no name any more"];
    case "undo": return "The edit before was undone";
    default: return kind;
  }
}

/** Places of edits that an undo took back. */
function takenBack(edits) {
  const standing = [];
  const undone = new Set();
  edits.forEach(({ kind }, at) => {
    if (kind !== "undo") standing.push(at);
    else if (standing.length) undone.add(standing.pop());
  });
  return undone;
}
