/* Search results across meetings; each links to its moment. */

import { fill, h } from "../dom.js";
import { clock, counted, moment, since } from "../format.js";
import { highlighted } from "../highlight.js";
import { facts } from "../jobs/labels.js";

/** @param {HTMLElement} root @param {import("../app.js").Context} context */
export function mount(root, context) {
  let request = new AbortController();
  const title = h("h1", { tabindex: -1 });
  const status = h("p", { class: "quiet", role: "status" });
  const results = h("div", { class: "results" });
  root.append(h("div", { class: "search-head" }, title, status), results);

  const search = async (query) => {
    const words = (query.get("q") ?? "").trim();
    request.abort();
    request = new AbortController();
    showWords(words);
    context.title(words ? `Search: ${words}` : "Search");
    fill(title, words ? ["Search for ", h("q", { dir: "auto" }, words)] : "Search");
    fill(results);
    status.textContent = words ? "Searching…" : "Enter words in the search field above.";
    if (!words) return;
    try {
      const found = await context.api.get(`/transcribe?limit=50&search=${encodeURIComponent(words)}`, { signal: request.signal });
      status.textContent = summary(found);
      fill(results, found.data.map((job) => hit(job, words)));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      status.textContent = "";
      fill(results, h("p", { class: "wrong", role: "alert" }, problem.message),
        h("button", { class: "button", type: "button", onclick: () => search(query) }, "Try again"));
    }
  };
  context.onQuery(search);
  search(context.query);
  return () => {
    request.abort();
    showWords("");
  };
}

/** Show the query in the header's search field. */
function showWords(words) {
  const field = /** @type {HTMLInputElement|null} */ (document.querySelector(".header-search input"));
  if (field && document.activeElement !== field) field.value = words;
}

function summary(found) {
  if (!found.data.length) return "No results. A meeting must contain all words; try fewer or different ones.";
  const meetings = counted(found.data.length, "meeting", "meetings");
  return found.complete ? `Found in ${meetings}.` : `Found in ${meetings}; there may be more.`;
}

function hit(job, words) {
  return h("article", { class: "card hit" },
    h("h2", null, h("a", { href: `#/job/${job.job_id}`, dir: "auto" }, job.name)),
    h("p", { class: "job-facts" }, h("span", null, facts(job)), h("time", { dateTime: job.created_at, title: moment(job.created_at) }, since(job.created_at))),
    h("ol", { class: "hit-lines" }, job.segments.map((segment) => h("li", null,
      h("a", { class: "hit-time", href: `#/job/${job.job_id}?t=${segment.start.toFixed(2)}`, "aria-label": `Go to ${clock(segment.start)}` }, clock(segment.start)),
      h("p", { dir: "auto" },
        segment.name && h("b", { class: "hit-who", vars: { "--who": speakerColour(segment.speaker) }, dir: "auto" }, segment.name),
        segment.name && " ",
        highlighted(segment.text, words))))));
}

function speakerColour(label) {
  const number = Number(/\d+$/.exec(label ?? "")?.[0] ?? 0);
  return `var(--speaker-${number % 8})`;
}
