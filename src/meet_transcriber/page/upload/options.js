/* Transcription options, remembered in this browser. */

import { h } from "../dom.js";
import { languageName } from "../jobs/labels.js";

const STORAGE_KEY = "transcription-options";
const LANGUAGES = ("af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id is it ja jw "
  + "ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th "
  + "tk tl tr tt uk ur uz vi yi yo yue zh zh-Hans zh-Hant").split(" ");
const SPEAKERS = /^\s*(?:(\d{1,2})(?:\s*[-–]\s*(\d{1,2}))?)?\s*$/;

let only = /** @type {string|null} */ (null);

/** Restrict the choice to one language; null allows all. @param {string|null} code */
export function languageOnly(code) {
  only = code;
  dispatchEvent(new Event("languageonly"));
}

/** @returns {{element: HTMLElement, read: () => Object<string, any>|null}} `read` returns null after showing what is invalid. */
export function makeOptions() {
  const stored = load();
  const language = h("select", { name: "language" },
    h("option", { value: "" }, "Automatic"),
    LANGUAGES.map((code) => [languageName(code), code]).sort().map(([name, code]) => h("option", { value: code }, name)));
  language.value = stored.language ?? "";
  const speakers = h("input", { name: "speakers", value: stored.speakers ?? "", placeholder: "Automatic", inputMode: "text", autocomplete: "off", "aria-describedby": "speakers-about" });
  const vocabulary = h("input", { name: "vocabulary", value: stored.vocabulary ?? "", placeholder: "Names and terms, separated by commas", dir: "auto", autocomplete: "off" });
  const diarization = h("input", { type: "checkbox", name: "diarization", checked: stored.diarization ?? true });
  const channels = h("select", { name: "channels" },
    [["auto", "Automatic"], ["mix", "Mix to mono"], ["split", "One speaker per channel"]].map(([value, label]) => h("option", { value }, label)));
  channels.value = stored.channels ?? "auto";
  const summary = h("span", { class: "quiet" });

  const element = h("details", { class: "options" },
    h("summary", null, h("b", null, "Options"), summary),
    h("div", { class: "option-grid" },
      field("Language", language), field("Speakers", speakers, h("small", { id: "speakers-about", class: "quiet" }, "A number or a range such as 2-5")),
      field("Vocabulary", vocabulary), field("Channels", channels),
      h("label", { class: "check" }, diarization, "Detect speakers")));

  const check = () => {
    const [, low, high] = SPEAKERS.exec(speakers.value) ?? [null, "0"];
    const fits = [low, high].every((each) => each === undefined || (Number(each) >= 1 && Number(each) <= 50));
    speakers.setCustomValidity(fits && !(high && Number(high) < Number(low)) ? "" : "Enter a number from 1 to 50 or a range such as 2-5.");
    summary.textContent = describe();
    for (const option of language.options) option.disabled = only !== null && option.value !== "" && option.value !== only;
  };
  const describe = () => [
    language.value ? languageName(language.value) : "",
    speakers.value.trim() && diarization.checked ? `${speakers.value.trim()} speakers` : "",
    vocabulary.value.trim() ? "custom vocabulary" : "",
    diarization.checked ? "" : "no speaker detection",
    channels.value === "auto" ? "" : channels.selectedOptions[0].textContent,
  ].filter(Boolean).join(" · ") || "automatic";
  element.addEventListener("input", () => {
    check();
    save({ language: language.value, speakers: speakers.value, vocabulary: vocabulary.value, diarization: diarization.checked, channels: channels.value });
  });
  addEventListener("languageonly", check);
  check();

  const read = () => {
    check();
    if (!speakers.checkValidity()) {
      element.open = true;
      speakers.reportValidity();
      return null;
    }
    return requestOptions({ language: language.value, speakers: speakers.value, vocabulary: vocabulary.value, diarization: diarization.checked, channels: channels.value });
  };
  return { element, read };
}

/** @returns {Object<string, any>} As in POST /transcribe. */
function requestOptions({ language, speakers, vocabulary, diarization, channels }) {
  const [, low, high] = SPEAKERS.exec(speakers) ?? [];
  const words = vocabulary.split(",").map((each) => each.trim()).filter(Boolean);
  return {
    ...(language && { language }),
    ...(diarization && low && (high ? { min_speakers: Number(low), max_speakers: Number(high) } : { num_speakers: Number(low) })),
    ...(words.length && { hotwords: words }),
    ...(!diarization && { enable_diarization: false }),
    ...(channels !== "auto" && { channels }),
  };
}

function field(label, control, about) {
  return h("label", { class: "field" }, label, control, about);
}

function load() {
  try {
    return JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "{}");
  } catch {
    return {};
  }
}

function save(options) {
  try { localStorage.setItem(STORAGE_KEY, JSON.stringify(options)); } catch { /* not remembered */ }
}
