/* The view of a failed or cancelled meeting. */

import { fill, h } from "../dom.js";
import { moment } from "../format.js";
import { remove, rerun } from "../jobs/actions.js";

/**
 * @param {HTMLElement} root
 * @param {import("../app.js").Context} context
 * @param {any} job
 * @param {() => void} reload
 */
export function showFailed(root, context, job, reload) {
  const failed = job.status === "failed";
  const wrong = h("p", { class: "wrong", role: "alert" });
  const act = (does, then) => async () => {
    try {
      if (await does(context, job)) then();
    } catch (problem) {
      wrong.textContent = problem.message;
    }
  };
  fill(root, h("h1", { dir: "auto" }, job.name),
    h("p", { class: "quiet" }, moment(job.created_at)),
    h("div", { class: failed ? "notice warning" : "notice" }, h("p", null,
      failed ? ["Transcription failed: ", h("span", { dir: "auto" }, job.error?.message ?? "unknown error.")] : "This transcription was cancelled.")),
    wrong,
    h("p", { class: "failed-actions" },
      context.session.scopes.includes("submit") && [
        h("button", { type: "button", class: "button primary", onclick: act(rerun, reload) }, "Run again"),
        h("button", { type: "button", class: "button danger", onclick: act(remove, () => context.navigate("#/")) }, "Delete"),
      ],
      h("a", { class: "button", href: "#/" }, "All meetings")));
  return { close() {}, goTo() {} };
}
