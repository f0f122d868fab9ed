/* The start view: the live list of meetings and the upload panel. */

import { h } from "../dom.js";
import { makePanel } from "../upload/panel.js";
import * as actions from "./actions.js";
import { makeFilters } from "./filters.js";
import { JobList } from "./list.js";

/** @param {HTMLElement} root @param {import("../app.js").Context} context */
export function mount(root, context) {
  const reportErrors = (act) => async (job) => {
    try {
      await act(job);
    } catch (problem) {
      if (problem.status !== 404) context.showError(problem.message);
      list.refresh();
    }
  };
  const maySubmit = context.session.scopes.includes("submit");
  const list = new JobList(context.api, maySubmit ? {
    cancel: reportErrors(async (job) => list.apply({ ...job, ...(await actions.cancel(context, job)) })),
    rerun: reportErrors(async (job) => { if (await actions.rerun(context, job)) list.refresh(); }),
    remove: reportErrors(async (job) => {
      if (!(await actions.remove(context, job))) return;
      list.remove(job.job_id);
      context.announce(`${job.name} was deleted.`);
    }),
  } : {}, (job) => {
    if (job.status === "completed") context.announce(`The transcript of ${job.name} is ready.`);
    if (job.status === "failed") context.announce(`${job.name} failed. ${job.error?.message ?? ""}`);
  });
  const filters = makeFilters(context.query, (filter) => list.show(filter));
  const panel = maySubmit ? makePanel(context, () => list.refresh()) : null;
  root.append(...[
    h("h1", { tabindex: -1 }, "Meetings"),
    panel?.element,
    filters.element,
    list.root,
  ].filter(Boolean));
  list.show(filters.filter);
  const stop = context.api.events("/events", {
    snapshot: () => list.refresh(),
    job: (job) => list.apply(job),
    deleted: ({ job_id: id }) => list.remove(id),
  });
  const clock = setInterval(() => list.updateTimes(), 60_000);
  const back = () => list.refresh();
  context.api.addEventListener("online", back);
  return () => {
    stop();
    clearInterval(clock);
    panel?.unmount();
    context.api.removeEventListener("online", back);
  };
}
