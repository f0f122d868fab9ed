/* The export menu, with the formats that the API lists. */

import { h, openDialog } from "../dom.js";
import { icon } from "../icons.js";
import { openMenu } from "./menu.js";

/**
 * @param {import("../api.js").Api} api
 * @param {string} path Of the job.
 * @param {(text: string) => void} announce
 * @param {() => Promise<void>} saved Waits until all edits are saved.
 * @returns {HTMLElement} A button with a menu.
 */
export function exportButton(api, path, announce, saved) {
  const show = async () => {
    try {
      const [all] = await Promise.all([formatsOf(api), saved()]);
      openMenu(button, "Export", [
        { label: "Copy as text", run: () => copyText(api, path, announce) },
        { label: "Print", run: () => window.print() },
        ...all.map(({ name, about }) => ({
          label: name, hint: about, href: `${path}/download?format=${encodeURIComponent(name)}`,
        })),
      ]);
    } catch (problem) {
      announce(problem.message);
    }
  };
  const button = h("button", {
    type: "button", class: "button small", "aria-haspopup": "menu", "aria-expanded": "false", onclick: show,
  }, icon("download"), h("span", null, "Export"));
  return button;
}

let formats = null;

/** Load the export formats. @returns {Promise<{name: string, about: string}[]>} */
async function formatsOf(api) {
  formats ??= api.get("/openapi.json").then((document) => {
    const { parameters } = document.paths["/transcribe/{job_id}/download"].get;
    const { schema } = parameters.find((each) => each.name === "format");
    return schema.enum.map((name, at) => ({ name, about: schema["x-enum-descriptions"][at] }));
  });
  try {
    return await formats;
  } catch (problem) {
    formats = null;
    throw problem;
  }
}

async function copyText(api, path, announce) {
  const answer = await api.call("GET", `${path}/download?format=txt`);
  await copy(await answer.text(), announce, "Transcript copied.");
}

/**
 * Copy text to the clipboard, or show it where the page may not use the clipboard.
 * @param {string} text
 * @param {(text: string) => void} announce
 * @param {string} done Announced after copying.
 */
export async function copy(text, announce, done) {
  try {
    await navigator.clipboard.writeText(text);
    announce(done);
  } catch { // the clipboard needs HTTPS
    const box = h("textarea", { rows: 12, readOnly: true, value: text, dir: "auto", "aria-label": "Text to copy" });
    openDialog("Copy text", [box, h("div", { class: "dialog-actions" }, h("button", { type: "submit", class: "button" }, "Close"))], { wide: true });
    box.select();
  }
}
