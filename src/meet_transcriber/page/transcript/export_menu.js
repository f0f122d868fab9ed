/* The transcript in other forms; which there are is told by the API itself. */

import { h, openDialog } from "../dom.js";
import { icon } from "../icons.js";
import { openMenu } from "./menu.js";

/**
 * @param {import("../api.js").Api} api
 * @param {string} path Of the job.
 * @param {(text: string) => void} announce
 * @param {() => Promise<void>} saved When all changes have reached the server.
 * @returns {HTMLElement} A button with a menu.
 */
export function exportButton(api, path, announce, saved) {
  const show = async () => {
    try {
      const [formats] = await Promise.all([formatsOf(api), saved()]);
      openMenu(button, "Export", [
        { label: "Copy as text", run: () => copyText(api, path, announce) },
        { label: "Print", run: () => window.print() },
        ...formats.map(({ name, about }) => ({
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

let known = null;

/** The formats that the API has. @returns {Promise<{name: string, about: string}[]>} */
async function formatsOf(api) {
  known ??= api.get("/openapi.json").then((document) => {
    const { parameters } = document.paths["/transcribe/{job_id}/download"].get;
    const { schema } = parameters.find((each) => each.name === "format");
    return schema.enum.map((name, at) => ({ name, about: schema["x-enum-descriptions"][at] }));
  });
  try {
    return await known;
  } catch (problem) {
    known = null;
    throw problem;
  }
}

async function copyText(api, path, announce) {
  const answer = await api.call("GET", `${path}/download?format=txt`);
  await copy(await answer.text(), announce, "The transcript was copied.");
}

/**
 * Put text on the clipboard; where the browser has none for this page, show it for copying.
 * @param {string} text
 * @param {(text: string) => void} announce
 * @param {string} done What is said then.
 */
export async function copy(text, announce, done) {
  try {
    await navigator.clipboard.writeText(text);
    announce(done);
  } catch { // without HTTPS there is no clipboard
    const box = h("textarea", { rows: 12, readOnly: true, value: text, dir: "auto", "aria-label": "Text to copy" });
    openDialog("Copy this", [box, h("div", { class: "dialog-actions" }, h("button", { type: "submit", class: "button" }, "Close"))], { wide: true });
    box.select();
  }
}
