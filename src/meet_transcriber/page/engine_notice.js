/* Says that models are being fetched or that nobody can work, and has workers look for models again. */

import { fill, h } from "./dom.js";
import { size } from "./format.js";
import { icon } from "./icons.js";
import { languageOnly } from "./upload/options.js";

const ENGLISH_ONLY = /\.en\b/;
const LOOK_MS = 15_000;
const LOOK_CLOSER_MS = 1_000;
/** So many looks in a row until it is said that something is missing: a service that starts is not broken. */
const PATIENCE = 5;

/** @param {import("./api.js").Api} api @returns {HTMLElement} */
export function makeEngineNotice(api) {
  const root = h("div", null);
  let asked = false;
  let shown = "";
  let missing = 0;
  let waiting = 0;
  const look = async () => {
    if (asked && !root.isConnected) return; // another notice took its place
    asked = true;
    const state = document.hidden ? null : await readiness(api);
    const changing = state !== null && show(state);
    clearTimeout(waiting);
    waiting = setTimeout(look, changing ? LOOK_CLOSER_MS : LOOK_MS);
  };

  /** @returns {boolean} Whether something is expected to be otherwise soon. */
  const show = ({ workers, checks, engines }) => {
    const fetching = engines?.fetching;
    const trouble = Object.values(checks).find((check) => !check.ok)?.detail ?? "";
    missing = trouble && !fetching ? missing + 1 : 0;
    languageOnly(workers.length && workers.every((worker) => ENGLISH_ONLY.test(worker.engine)) ? "en" : null);
    const [now, make] = fetching ? [JSON.stringify(fetching), () => download(fetching)]
      : missing >= PATIENCE ? [trouble, () => notReady(trouble, workers.some((worker) => worker.problem === trouble))]
      : ["", () => null];
    if (now !== shown) fill(root, make());
    shown = now;
    return Boolean(fetching || trouble);
  };

  const notReady = (trouble, lacking) => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const tryAgain = async () => {
      button.disabled = true;
      wrong.textContent = "";
      try {
        await api.post("/models/fetch");
        await look();
      } catch (problem) {
        wrong.textContent = problem.message;
      }
      button.disabled = false;
    };
    const button = h("button", { class: "button small", type: "button", onclick: tryAgain }, icon("download"), "Try again now");
    return notice("Not ready", "warning", [
      h("p", null, h("b", null, lacking ? "Recordings cannot be transcribed. " : "Recordings can be sent, but they wait. "), trouble), wrong,
    ], lacking && may(api) && button);
  };

  look();
  return root;
}

function download({ bytes, total }) {
  const share = total ? Math.min(100, (100 * bytes) / total) : 0;
  return notice("Models are being fetched", "download", [
    h("p", null, h("b", null, "Models are being fetched: "), `${size(bytes)} of ${size(total)}. Recordings can be sent, but they wait.`),
    h("div", {
      class: "meter", role: "progressbar", "aria-label": "Models fetched", "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-valuenow": Math.floor(share), vars: { "--share": `${share}%` },
    }, h("i")),
  ]);
}

function notice(label, image, text, button) {
  return h("section", { class: image === "warning" ? "notice warning" : "notice", "aria-label": label },
    icon(image), h("div", { class: "notice-text" }, text), button);
}

function may(api) { return api.session?.scopes.includes("admin"); }

/** What is ready and who works; 503 says it, too. */
async function readiness(api) {
  try {
    return await api.get("/health/ready");
  } catch (problem) {
    return problem.body?.checks ? problem.body : null;
  }
}
