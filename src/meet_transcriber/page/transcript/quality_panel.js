/* How far the transcript can be trusted: coverage, what fell back, what was cut, words in doubt. */

import { h } from "../dom.js";
import { clock, counted } from "../format.js";
import { languageName } from "../jobs/labels.js";

const REASONS = {
  silence: "nobody spoke there",
  loop: "the engine went round in circles",
  hallucination: "the engine made it up",
  prompt: "it repeated the given vocabulary",
};
const THRESHOLD = "doubt-threshold";

/** @returns {number} The probability below which a word is in doubt. */
export function chosenThreshold() {
  try { return Number(localStorage.getItem(THRESHOLD) ?? 0.5); } catch { return 0.5; }
}

/**
 * @param {any} transcript As the json format has it.
 * @param {{seek: (time: number) => void, doubt: (threshold: number) => void}} does
 * @returns {HTMLElement}
 */
export function qualityPanel(transcript, does) {
  const { coverage, removed, language, engine, diarizer, warnings } = transcript;
  return h("section", { class: "side-panel", "aria-labelledby": "quality-title" },
    h("h2", { id: "quality-title" }, "Quality"),
    warnings.length > 0 && h("ul", { class: "warnings" }, warnings.map((each) => h("li", { dir: "auto" }, each.message))),
    h("dl", { class: "facts" },
      fact("Speech with words", `${(100 * coverage).toFixed(1)} %`),
      language && fact("Language", languageName(language)),
      engine && fact("Words by", engine),
      fact("Speakers by", diarizer ?? "nobody looked")),
    doubt(does),
    legend(),
    cut(removed, does.seek));
}

function fact(name, value) {
  return [h("dt", null, name), h("dd", null, h("bdi", null, value))];
}

function doubt(does) {
  const shown = h("output", { for: "doubt" });
  const slider = h("input", {
    id: "doubt", type: "range", min: "0", max: "1", step: "0.05", value: String(chosenThreshold()),
    oninput: () => {
      const threshold = Number(slider.value);
      try { localStorage.setItem(THRESHOLD, String(threshold)); } catch { /* for this visit only */ }
      say();
      does.doubt(threshold);
    },
  });
  const say = () => { shown.value = `${Math.round(100 * Number(slider.value))} %`; };
  say();
  return h("div", { class: "doubt" }, h("label", { for: "doubt" }, "Words in doubt: below "), shown, slider);
}

function legend() {
  return h("ul", { class: "legend" },
    h("li", null, h("span", { class: "w doubtful" }, "word"), " the engine was not sure"),
    h("li", null, h("span", { class: "w overlap" }, "word"), " somebody else spoke at the same time"));
}

function cut(removed, seek) {
  if (!removed.length) return h("p", { class: "quiet" }, "Nothing was cut from this transcript.");
  return h("details", { class: "cut" },
    h("summary", null, counted(removed.length, "passage was cut", "passages were cut")),
    h("ul", null, removed.map(({ start, end, reason, text }) => h("li", null,
      h("button", { type: "button", class: "moment", onclick: () => seek(start) }, `${clock(start)}–${clock(end)}`),
      ` ${REASONS[reason] ?? reason}`, text && [": ", h("q", { dir: "auto" }, text)]))));
}
