/* Adds recordings: dropped or chosen files, links, the microphone. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { openUrlDialog } from "./url_dialog.js";
import { makeOptions } from "./options.js";
import { Queue } from "./queue.js";
import { makeRecorder } from "./recorder.js";
import { makeUploadRow } from "./row.js";

const KINDS = "audio/*,video/*,.mkv,.m4a,.opus,.flac,.amr,.caf,.mka,.wma,.aac,.aiff";

/** @type {Queue|null} Continues while other views are shown. */
let queue = null;

/**
 * @param {import("../app.js").Context} context
 * @param {() => void} arrived Called when a job was created.
 * @returns {{element: HTMLElement, unmount: () => void}}
 */
export function makePanel(context, arrived) {
  if (!queue) {
    queue = new Queue(context.api);
    queue.restore();
  }
  const uploads = queue;
  uploads.retryRefused();
  const options = makeOptions();
  const add = (files) => {
    const asked = options.read();
    if (asked && files.length) uploads.add(files, asked);
  };
  const input = h("input", { type: "file", multiple: true, accept: KINDS, hidden: true, "aria-label": "Recordings",
    onchange: () => { add([...input.files]); input.value = ""; } });
  const choose = h("button", { class: "button primary", type: "button", onclick: () => input.click() }, "Choose files");
  const list = h("ul", { class: "jobs uploads", "aria-label": "Uploads", hidden: true });
  const recorder = makeRecorder((file) => add([file]));
  const address = () => openUrlDialog(context, options.read, arrived);
  const zone = h("section", { class: "card intake", "aria-label": "New recordings" },
    h("div", { class: "zone" },
      h("p", { class: "zone-title" }, icon("upload"), h("span", null, "Drop recordings here")),
      h("p", { class: "quiet" }, "Audio or video, one or more files"),
      h("div", { class: "zone-actions" },
        choose, input,
        h("button", { class: "button", type: "button", onclick: address }, icon("link"), "From a link"),
        recorder.button)),
    recorder.element,
    options.element);
  const element = h("div", { class: "panel" }, zone, list);

  const rows = new Map();
  const show = () => {
    for (const [id, row] of rows) {
      if (uploads.uploads.has(id)) continue;
      if (row.element.contains(document.activeElement)) choose.focus();
      row.element.remove();
      rows.delete(id);
    }
    for (const [id, upload] of uploads.uploads) {
      if (!rows.has(id)) {
        rows.set(id, makeUploadRow(uploads, upload));
        list.append(rows.get(id).element);
      }
      rows.get(id).show();
    }
    list.hidden = !rows.size;
  };
  const done = ({ detail: { upload } }) => {
    context.announce(`${upload.name} was uploaded.`);
    arrived();
  };
  uploads.addEventListener("change", show);
  uploads.addEventListener("done", done);
  const forget = acceptDrops(zone, add);
  show();
  return {
    element,
    unmount: () => {
      uploads.removeEventListener("change", show);
      uploads.removeEventListener("done", done);
      forget();
      recorder.unmount();
    },
  };
}

/** Files may be dropped anywhere on the page. @returns {() => void} */
function acceptDrops(zone, add) {
  const over = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    zone.classList.add("over");
  };
  const out = (event) => { if (!event.relatedTarget) zone.classList.remove("over"); };
  const drop = (event) => {
    zone.classList.remove("over");
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  };
  const listeners = /** @type {const} */ ([["dragover", over], ["dragleave", out], ["drop", drop]]);
  for (const [name, listener] of listeners) addEventListener(name, /** @type {any} */ (listener));
  return () => { for (const [name, listener] of listeners) removeEventListener(name, /** @type {any} */ (listener)); };
}
