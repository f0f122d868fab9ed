/* The quality panel: coverage, warnings, removed passages, uncertain words. */

import { h } from "../dom.js";
import { clock, counted } from "../format.js";
import { languageName } from "../jobs/labels.js";

const REASONS = {
  silence: "no speech",
  loop: "repetition",
  hallucination: "hallucination",
  prompt: "repeated vocabulary",
};
const THRESHOLD = "doubt-threshold";

/** @returns {number} The probability below which a word is uncertain. */
export function chosenThreshold() {
  try { return Number(localStorage.getItem(THRESHOLD) ?? 0.5); } catch { return 0.5; }
}

/**
 * @param {any} transcript In the json format.
 * @param {{seek: (time: number) => void, doubt: (threshold: number) => void}} does
 * @returns {HTMLElement}
 */
export function qualityPanel(transcript, does) {
  const { coverage, removed, language, engine, diarizer, warnings } = transcript;
  return h("section", { class: "side-panel", "aria-labelledby": "quality-title" },
    h("h2", { id: "quality-title" }, "Quality"),
    warnings.length > 0 && h("ul", { class: "warnings" }, warnings.map((each) => h("li", { dir: "auto" }, each.message))),
    h("dl", { class: "facts" },
      fact("Speech covered", `${(100 * coverage).toFixed(1)} %`),
      language && fact("Language", languageName(language)),
      engine && fact("Transcribed by", engine),
      fact("Speakers by", diarizer ?? "not detected")),
    doubt(does),
    legend(),
    removedPassages(removed, does.seek));
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
      try { localStorage.setItem(THRESHOLD, String(threshold)); } catch { /* lasts for this visit only */ }
      showValue();
      does.doubt(threshold);
    },
  });
  const showValue = () => { shown.value = `${Math.round(100 * Number(slider.value))} %`; };
  showValue();
  return h("div", { class: "doubt" }, h("label", { for: "doubt" }, "Mark words below "), shown, slider);
}

function legend() {
  return h("ul", { class: "legend" },
    h("li", null, h("span", { class: "w doubtful" }, "word"), " uncertain"),
    h("li", null, h("span", { class: "w overlap" }, "word"), " overlapping speech"));
}

function removedPassages(removed, seek) {
  if (!removed.length) return h("p", { class: "quiet" }, "No passages were removed.");
  return h("details", { class: "cut" },
    h("summary", null, counted(removed.length, "removed passage", "removed passages")),
    h("ul", null, removed.map(({ start, end, reason, text }) => h("li", null,
      h("button", { type: "button", class: "moment", onclick: () => seek(start) }, `${clock(start)}–${clock(end)}`),
      ` ${REASONS[reason] ?? reason}`, text && [": ", h("q", { dir: "auto" }, text)]))));
}
