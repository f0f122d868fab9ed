/* What can be done to a job from a list or from its transcript. */

import { confirmed, h, openDialog } from "../dom.js";

const CHOICES = [
  ["", "Everything", "Words and speakers are found anew."],
  ["recognize", "Words only", "The speakers' turns stay as they are."],
  ["diarize", "Speakers only", "The words stay as they are."],
  ["attribute", "Put words and speakers together again", "Takes a moment; both stay as they are."],
];

/**
 * @param {import("../app.js").Context} context
 * @param {import("./labels.js").Entry} job
 * @returns {Promise<any>} The job as it is now.
 */
export function cancel(context, job) {
  return context.api.post(`/transcribe/${job.job_id}/cancel`);
}

/**
 * Ask what shall be done again, and have it done.
 * @param {import("../app.js").Context} context
 * @param {import("./labels.js").Entry} job
 * @returns {Promise<boolean>} Whether the job runs again.
 */
export async function rerun(context, job) {
  const { dialog, closed } = openDialog("Run it again", [
    h("p", { class: "quiet", dir: "auto" }, job.name),
    h("fieldset", { class: "choices" },
      h("legend", { class: "unseen" }, "What to do again"),
      CHOICES.map(([value, label, about], at) => h("label", { class: "choice" },
        h("input", { type: "radio", name: "tasks", value, checked: at === 0 }),
        h("span", null, h("b", null, label), h("span", { class: "quiet" }, about))))),
    job.edited && h("p", { class: "note-line" }, "What people changed is put aside with the words it belongs to."),
    h("div", { class: "dialog-actions" },
      h("button", { type: "submit", value: "", class: "button", formnovalidate: true }, "Close"),
      h("button", { type: "submit", value: "run", class: "button primary" }, "Run again")),
  ]);
  const answer = await closed;
  if (answer !== "run") return false;
  const task = dialog.querySelector("input:checked").value;
  await context.api.post(`/transcribe/${job.job_id}/rerun`, { tasks: task ? [task] : [] });
  return true;
}

/**
 * Delete a job once that is confirmed.
 * @param {import("../app.js").Context} context
 * @param {import("./labels.js").Entry} job
 * @returns {Promise<boolean>} Whether it is gone.
 */
export async function remove(context, job) {
  const text = `“${job.name}”, its audio and its words will be gone for good.`;
  if (!(await confirmed("Delete this meeting?", text, "Delete"))) return false;
  await context.api.delete(`/transcribe/${job.job_id}`);
  return true;
}
