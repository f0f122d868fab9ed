/* Says that draft engines are in use or that nobody works, and has the real models fetched. */

import { fill, h } from "./dom.js";
import { size } from "./format.js";
import { icon } from "./icons.js";
import { languageOnly } from "./upload/options.js";

const DRAFT = "pocketsphinx";
const LOOK_MS = 15_000;
const LOOK_CLOSER_MS = 1_000;
/** So many looks in a row until it is said that something is missing: a service that starts is not broken. */
const PATIENCE = 5;
/** So many looks after somebody asked for the models, in which workers may begin to fetch. */
const HOPE = 30;

/** @param {import("./api.js").Api} api @returns {HTMLElement} */
export function makeModelsNotice(api) {
  const root = h("div", null);
  let asked = false;
  let shown = "";
  let missing = 0;
  let hope = 0;
  let waiting = 0;
  const look = async () => {
    if (asked && !root.isConnected) return; // another notice took its place
    asked = true;
    const state = document.hidden ? null : await readiness(api);
    const changing = state !== null && show(state);
    clearTimeout(waiting);
    waiting = setTimeout(look, changing || hope ? LOOK_CLOSER_MS : LOOK_MS);
  };

  /** @returns {boolean} Whether something is expected to be otherwise soon. */
  const show = ({ workers, checks, engines }) => {
    const fetching = engines?.fetching;
    const drafts = engines?.draft || workers.some((worker) => worker.engine.startsWith(DRAFT));
    const trouble = Object.values(checks).find((check) => !check.ok)?.detail ?? "";
    missing = trouble && !fetching ? missing + 1 : 0;
    hope = fetching || !drafts ? 0 : Math.max(0, hope - 1);
    languageOnly(workers.some((worker) => worker.engine.startsWith(DRAFT)) ? "en" : null);
    const [now, make] = fetching ? [JSON.stringify(fetching), () => download(fetching)]
      : missing >= PATIENCE ? [trouble, () => notReady(trouble)]
      : drafts ? [JSON.stringify([engines, hope > 0]), () => banner(engines ?? {})]
      : ["", () => null];
    if (now !== shown) fill(root, make());
    shown = now;
    return Boolean(fetching || trouble);
  };

  const banner = ({ reasons = [], fetchable = [] }) => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const fetchModels = async () => {
      button.disabled = true;
      wrong.textContent = "";
      try {
        await api.post("/models/fetch");
        hope = HOPE;
        await look();
      } catch (problem) {
        wrong.textContent = problem.message;
        button.disabled = false;
      }
    };
    const button = h("button", { class: "button small", type: "button", onclick: fetchModels, disabled: hope > 0 },
      icon("download"), hope > 0 ? "Asking for them…" : "Fetch the real models");
    const offer = !fetchable.length ? "The settings of this service ask for them (ASR_ENGINE)."
      : may(api) ? "The real models are fetched once and stay on this server."
      : "Somebody with an administrator's key can have the real models fetched here.";
    return notice("Draft engines", "warning", [
      h("p", null, h("b", null, "Draft engines are in use. "), "They know English only and mishear a lot. ", offer),
      reasons.length > 0 && h("details", null, h("summary", null, "Why"), reasons.map((each) => h("p", { class: "quiet" }, each))),
      wrong,
    ], fetchable.length > 0 && may(api) && button);
  };

  look();
  return root;
}

function download({ bytes, total }) {
  const share = total ? Math.min(100, (100 * bytes) / total) : 0;
  return notice("Models are being fetched", "download", [
    h("p", null, h("b", null, "The real models are being fetched: "), `${size(bytes)} of ${size(total)}.`),
    h("div", {
      class: "meter", role: "progressbar", "aria-label": "Models fetched", "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-valuenow": Math.floor(share), vars: { "--share": `${share}%` },
    }, h("i")),
  ]);
}

function notReady(trouble) {
  return notice("Not ready", "warning", [h("p", null, h("b", null, "Recordings can be sent, but they wait. "), trouble)]);
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
