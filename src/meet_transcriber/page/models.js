/* Says that draft engines are in use, and has the real models fetched. */

import { fill, h } from "./dom.js";
import { percent } from "./format.js";
import { icon } from "./icons.js";
import { languageOnly } from "./upload/options.js";

const DRAFT = "pocketsphinx";
const LOOK_MS = 15_000;
const LOOK_CLOSER_MS = 1_000;
/** So many looks in a row until it is said that something is missing: a service that starts is not broken. */
const PATIENCE = 5;

/** @param {import("./api.js").Api} api @returns {HTMLElement} */
export function makeModelsNotice(api) {
  const root = h("div", null);
  let asked = false;
  let shown = "";
  let missing = 0;
  const look = async () => {
    if (asked && !root.isConnected) return; // another notice took its place
    asked = true;
    const state = document.hidden ? null : await readiness(api);
    const changing = state !== null && show(state);
    setTimeout(look, changing ? LOOK_CLOSER_MS : LOOK_MS);
  };

  /** @returns {boolean} Whether something is expected to be otherwise soon. */
  const show = ({ workers, checks }) => {
    const fetching = workers.find((worker) => worker.state === "fetching");
    const drafts = workers.some((worker) => worker.engine.startsWith(DRAFT));
    const trouble = Object.values(checks).find((check) => !check.ok)?.detail ?? "";
    missing = trouble && !fetching ? missing + 1 : 0;
    languageOnly(drafts && !fetching ? "en" : null);
    const [now, make] = fetching ? [`${fetching.progress}`, () => download(fetching)]
      : missing >= PATIENCE ? [trouble, () => notReady(trouble)]
      : drafts ? ["drafts", banner]
      : ["", () => null];
    if (now !== shown) fill(root, make());
    shown = now;
    return Boolean(fetching || trouble);
  };

  const banner = () => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const button = h("button", {
      class: "button small", type: "button",
      onclick: async () => {
        button.disabled = true;
        wrong.textContent = "";
        try {
          await api.post("/models/fetch");
          setTimeout(look, LOOK_CLOSER_MS);
        } catch (problem) {
          wrong.textContent = problem.message;
        }
        button.disabled = false;
      },
    }, icon("download"), "Fetch the real models");
    return h("section", { class: "notice warning", "aria-label": "Draft engines" }, icon("warning"), h("div", { class: "notice-text" },
      h("p", null, h("b", null, "Draft engines are in use. "),
        "They know English only and mishear a lot. The real models are fetched once and stay on this server."),
      wrong), may(api) && button);
  };

  const download = (worker) => h("section", { class: "notice", "aria-label": "Models are being fetched" }, icon("download"), h("div", { class: "notice-text" },
    h("p", null, h("b", null, "The real models are being fetched: "), percent(worker.progress), ". Meetings wait until they are there."),
    h("div", { class: "meter", role: "progressbar", "aria-label": "Models fetched", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.floor(worker.progress), vars: { "--share": `${worker.progress}%` } }, h("i"))));

  const notReady = (trouble) => h("section", { class: "notice warning", "aria-label": "Not ready" }, icon("warning"), h("div", { class: "notice-text" },
    h("p", null, h("b", null, "Recordings can be sent, but they wait. "), trouble)));

  look();
  return root;
}

function may(api) { return api.session?.scopes.includes("submit"); }

/** What is ready and who works; 503 says it, too. */
async function readiness(api) {
  try {
    return await api.get("/health/ready");
  } catch (problem) {
    return problem.body?.checks ? problem.body : null;
  }
}
