/* One upload in progress. */

import { h } from "../dom.js";
import { percent, size, span } from "../format.js";
import { icon } from "../icons.js";

/**
 * @param {import("./queue.js").Queue} queue
 * @param {import("./queue.js").Upload} upload
 * @returns {{element: HTMLElement, show: () => void}}
 */
export function makeUploadRow(queue, upload) {
  const { id, name } = upload;
  const text = h("p", { class: "going" });
  const bar = h("div", { class: "meter", role: "progressbar", "aria-label": `Upload of ${name}`, "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
  const button = (label, image, onclick) => h("button", { class: "icon-button", type: "button", title: label, "aria-label": `${label} the upload of ${name}`, onclick }, icon(image));
  const pause = button("Pause", "pause", () => { queue.pause(id); resume.focus(); });
  const resume = button("Resume", "play", () => { queue.resume(id); pause.focus(); });
  const retry = button("Retry", "redo", () => { queue.resume(id); pause.focus(); });
  const cancel = button("Cancel", "close", () => queue.cancel(id));
  const element = h("li", { class: "job upload" },
    h("div", { class: "job-main" }, h("div", { class: "job-head" }, h("span", { class: "job-title", dir: "auto" }, name)), bar, text),
    h("div", { class: "job-actions" }, pause, resume, retry, cancel));

  const show = () => {
    const share = upload.size ? (100 * upload.sent) / upload.size : 0;
    element.dataset.state = upload.state;
    bar.style.setProperty("--share", `${share}%`);
    bar.setAttribute("aria-valuenow", String(Math.floor(share)));
    text.textContent = statusText(upload, share);
    pause.hidden = !["sending", "lost", "waiting"].includes(upload.state);
    resume.hidden = upload.state !== "paused";
    bar.hidden = upload.state === "failed";
    retry.hidden = !bar.hidden;
  };
  show();
  return { element, show };
}

function statusText(upload, share) {
  const amount = `${size(upload.sent)} of ${size(upload.size)}`;
  switch (upload.state) {
    case "waiting": return "Waiting for other uploads";
    case "paused": return `Paused at ${amount}`;
    case "lost": return `Connection lost at ${amount}. Resumes automatically.`;
    case "missing": return `Interrupted at ${amount}. Choose this file again to resume.`;
    case "failed": return upload.problem.message;
    default: return upload.sent >= upload.size ? "Checking the recording…" : [percent(share), amount, ...speed(upload)].join(" · ");
  }
}

function speed(upload) {
  const seconds = (Date.now() - upload.began) / 1000;
  const done = upload.sent - upload.beganAt;
  if (!upload.began || seconds < 1 || !done) return [];
  return [`${size(done / seconds)}/s`, `${span(((upload.size - upload.sent) * seconds) / done)} left`];
}
