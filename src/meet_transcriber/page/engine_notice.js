/* Shows that models are being downloaded or that transcription is not possible; retries the download. */

import { fill, h } from "./dom.js";
import { size } from "./format.js";
import { icon } from "./icons.js";
import { languageOnly } from "./upload/options.js";

const ENGLISH_ONLY = /\.en\b/;
const POLL_MS = 15_000;
const POLL_CHANGING_MS = 1_000;
/** Polls that must find a problem before it is shown, because a service that is starting is not broken. */
const POLLS_BEFORE_WARNING = 5;

/** @param {import("./api.js").Api} api @returns {HTMLElement} */
export function makeEngineNotice(api) {
  const root = h("div", null);
  let started = false;
  let shown = "";
  let missing = 0;
  let waiting = 0;
  const poll = async () => {
    if (started && !root.isConnected) return; // replaced by another notice
    started = true;
    const state = document.hidden ? null : await readiness(api);
    const changing = state !== null && show(state);
    clearTimeout(waiting);
    waiting = setTimeout(poll, changing ? POLL_CHANGING_MS : POLL_MS);
  };

  /** @returns {boolean} Whether the state may change soon. */
  const show = ({ workers, checks, engines }) => {
    const fetching = engines?.fetching;
    const trouble = Object.values(checks).find((check) => !check.ok)?.detail ?? "";
    missing = trouble && !fetching ? missing + 1 : 0;
    languageOnly(workers.length && workers.every((worker) => ENGLISH_ONLY.test(worker.engine)) ? "en" : null);
    const [now, make] = fetching ? [JSON.stringify(fetching), () => download(fetching)]
      : missing >= POLLS_BEFORE_WARNING ? [trouble, () => notReady(trouble, workers.some((worker) => worker.problem === trouble))]
      : ["", () => null];
    if (now !== shown) fill(root, make());
    shown = now;
    return Boolean(fetching || (missing && missing < POLLS_BEFORE_WARNING));
  };

  const notReady = (trouble, lacking) => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const tryAgain = async () => {
      button.disabled = true;
      wrong.textContent = "";
      try {
        await api.post("/models/fetch");
        await poll();
      } catch (problem) {
        wrong.textContent = problem.message;
      }
      button.disabled = false;
    };
    const button = h("button", { class: "button small", type: "button", onclick: tryAgain }, icon("download"), "Retry now");
    return notice("Not ready", "warning", [
      h("p", null, h("b", null, lacking ? "Recordings cannot be transcribed. " : "You can add recordings, but they have to wait. "), trouble), wrong,
    ], lacking && mayFetch(api) && button);
  };

  poll();
  return root;
}

function download({ bytes, total }) {
  const share = total ? Math.min(100, (100 * bytes) / total) : 0;
  return notice("Downloading models", "download", [
    h("p", null, h("b", null, "Downloading models: "), `${size(bytes)} of ${size(total)}. You can add recordings; they are transcribed afterwards.`),
    h("div", {
      class: "meter", role: "progressbar", "aria-label": "Model download", "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-valuenow": Math.floor(share), vars: { "--share": `${share}%` },
    }, h("i")),
  ]);
}

function notice(label, image, text, button) {
  return h("section", { class: image === "warning" ? "notice warning" : "notice", "aria-label": label },
    icon(image), h("div", { class: "notice-text" }, text), button);
}

function mayFetch(api) { return api.session?.scopes.includes("admin"); }

/** The readiness report, which a 503 carries as well. */
async function readiness(api) {
  try {
    return await api.get("/health/ready");
  } catch (problem) {
    return problem.body?.checks ? problem.body : null;
  }
}
