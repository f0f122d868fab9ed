/* Submits a recording by its URL. */

import { h, openDialog } from "../dom.js";

/**
 * @param {import("../app.js").Context} context
 * @param {() => Object<string, any>|null} readOptions
 * @param {() => void} arrived Called when there is a job.
 */
export function openUrlDialog(context, readOptions, arrived) {
  const options = readOptions();
  if (!options) return;
  const address = h("input", { type: "url", id: "address", required: true, placeholder: "https://", autocomplete: "off", autofocus: true });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const button = h("button", { type: "submit", class: "button primary" }, "Transcribe");
  const { dialog } = openDialog("From a link", [
    h("p", { class: "quiet" }, "A direct link to an audio or video file, which the server downloads. Links to private networks are refused unless the operator allows them."),
    h("div", { class: "field" }, h("label", { for: "address" }, "Link"), address, wrong),
    h("div", { class: "dialog-actions" },
      h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Cancel"), button),
  ]);
  dialog.querySelector("form")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    wrong.textContent = "";
    try {
      await context.api.post("/transcribe", { url: address.value.trim(), ...options });
      context.announce("The server is downloading the recording.");
      dialog.close();
      arrived();
    } catch (problem) {
      wrong.textContent = problem.message;
      button.disabled = false;
      address.focus();
    }
  });
}
