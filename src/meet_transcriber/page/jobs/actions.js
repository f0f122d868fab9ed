/* Actions on a job, from the list and from its own view. */

import { confirmed, h, openDialog } from "../dom.js";

const CHOICES = [
  ["", "Everything", "Transcribes the words and detects the speakers again."],
  ["recognize", "Words only", "Keeps the speakers."],
  ["diarize", "Speakers only", "Keeps the words."],
  ["attribute", "Assign words to speakers", "Keeps both; takes a moment."],
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
 * Ask which tasks to run again, and start them.
 * @param {import("../app.js").Context} context
 * @param {import("./labels.js").Entry} job
 * @returns {Promise<boolean>} Whether the job runs again.
 */
export async function rerun(context, job) {
  const { dialog, closed } = openDialog("Run again", [
    h("p", { class: "quiet", dir: "auto" }, job.name),
    h("fieldset", { class: "choices" },
      h("legend", { class: "unseen" }, "Tasks to run"),
      CHOICES.map(([value, label, about], at) => h("label", { class: "choice" },
        h("input", { type: "radio", name: "tasks", value, checked: at === 0 }),
        h("span", null, h("b", null, label), h("span", { class: "quiet" }, about))))),
    job.edited && h("p", { class: "note-line" }, "Edits do not carry over to the new transcript."),
    h("div", { class: "dialog-actions" },
      h("button", { type: "submit", value: "", class: "button", formnovalidate: true }, "Cancel"),
      h("button", { type: "submit", value: "run", class: "button primary" }, "Run again")),
  ]);
  const answer = await closed;
  if (answer !== "run") return false;
  const task = dialog.querySelector("input:checked").value;
  await context.api.post(`/transcribe/${job.job_id}/rerun`, { tasks: task ? [task] : [] });
  return true;
}

/**
 * Delete a job after confirmation.
 * @param {import("../app.js").Context} context
 * @param {import("./labels.js").Entry} job
 * @returns {Promise<boolean>} Whether it is gone.
 */
export async function remove(context, job) {
  const text = `“${job.name}”, its audio and its transcript will be deleted permanently.`;
  if (!(await confirmed("Delete this meeting?", text, "Delete"))) return false;
  await context.api.delete(`/transcribe/${job.job_id}`);
  return true;
}
