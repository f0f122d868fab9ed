/* A meeting without a transcript: it failed, or was cancelled. */

import { fill, h } from "../dom.js";
import { moment } from "../format.js";

/**
 * @param {HTMLElement} root
 * @param {import("../app.js").Context} context
 * @param {any} job
 * @param {() => void} reload
 */
export function showEnded(root, context, job, reload) {
  const failed = job.status === "failed";
  const wrong = h("p", { class: "wrong", role: "alert" });
  const again = async () => {
    try {
      await context.api.post(`/transcribe/${job.job_id}/rerun`, { tasks: failed ? ["unfinished"] : [] });
      reload();
    } catch (problem) {
      wrong.textContent = problem.message;
    }
  };
  fill(root, h("h1", { dir: "auto" }, job.name),
    h("p", { class: "quiet" }, moment(job.created_at)),
    h("div", { class: failed ? "notice warning" : "notice" }, h("p", null,
      failed ? ["It failed: ", h("span", { dir: "auto" }, job.error?.message ?? "nobody knows why.")] : "It was cancelled before it was done.")),
    wrong,
    h("p", { class: "ended-actions" },
      context.session.scopes.includes("submit") && h("button", { type: "button", class: "button primary", onclick: again }, failed ? "Go on where it failed" : "Run it again"),
      h("a", { class: "button", href: "#/" }, "All meetings")));
  return { close() {}, goTo() {} };
}
