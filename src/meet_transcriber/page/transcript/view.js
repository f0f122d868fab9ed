/* The view of a meeting: editor, progress or failure, depending on its state. */

import { fill, h } from "../dom.js";
import { showFailed } from "./failed_view.js";
import { settled } from "./edit_queue.js";
import { ProgressView } from "./progress_view.js";

const editor = import("./editor.js"); // loads while the job is requested
editor.catch(() => {}); // reported where it is awaited

/** @param {HTMLElement} root @param {import("../app.js").Context} context @returns {() => void} */
export function mount(root, context) {
  const path = `/transcribe/${context.params.id}`;
  let shown = { close() {}, goTo(_query) {} };
  let gone = false;

  const load = async () => {
    shown.close();
    const here = root.contains(document.activeElement);
    try {
      await settled(path); // so that edits of this tab are included
      const [job, { Editor }] = await Promise.all([context.api.get(path), editor]);
      if (gone) return;
      context.title(job.name);
      if (job.status === "completed") shown = new Editor(root, context, job, load);
      else if (job.status === "pending" || job.status === "processing") shown = new ProgressView(root, context, job, load);
      else shown = showFailed(root, context, job, load);
    } catch (problem) {
      if (gone) return;
      if (problem.status !== undefined) showProblem(root, problem, load);
      else { // a script failed to load or threw
        showProblem(root, problem, () => location.reload());
        console.error(problem);
      }
    }
    if (here && !root.contains(document.activeElement)) root.focus({ preventScroll: true }); // the focused element was removed
  };

  context.onQuery((query) => shown.goTo(query));
  fill(root, h("p", { class: "quiet", role: "status" }, "Loading…"));
  load();
  return () => {
    gone = true;
    shown.close();
  };
}

function showProblem(root, problem, load) {
  fill(root, h("h1", null, problem.status === 404 ? "Meeting not found" : "The meeting cannot be shown"),
    h("p", null, problem.status === 404 ? "It was deleted or belongs to another key." : problem.message),
    h("p", { class: "failed-actions" },
      problem.status !== 404 && h("button", { type: "button", class: "button", onclick: load }, "Try again"),
      h("a", { class: "button", href: "#/" }, "All meetings")));
}
