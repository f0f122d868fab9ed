/* What is true of the whole page: the server is away, models are missing; and what went wrong. */

import { announce, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { makeEngineNotice } from "./engine_notice.js";

let listening = false;
const offline = h("div", { class: "notice warning", role: "alert", hidden: true });
const told = h("div", null);

/** @param {import("./api.js").Api} api */
export function showNotices(api) {
  fill(/** @type {HTMLElement} */ (document.getElementById("notices")), offline, makeEngineNotice(api), told);
  const show = () => {
    offline.hidden = api.online;
    fill(offline, !api.online && [icon("warning"),
      h("p", null, h("b", null, "The server cannot be reached. "), "What you see may be old. Uploads go on by themselves when it is back.")]);
  };
  if (!listening) {
    for (const name of ["online", "offline"]) api.addEventListener(name, show);
    api.addEventListener("online", () => announce("The server is back."));
  }
  listening = true;
  show();
}

/** Take the notices away: nobody is signed in. */
export function hideNotices() {
  fill(/** @type {HTMLElement} */ (document.getElementById("notices")));
}

/** Say what went wrong until it is put away. @param {string} text */
export function tell(text) {
  const notice = h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("p", { dir: "auto" }, text),
    h("button", { class: "icon-button", type: "button", "aria-label": "Put this away", onclick: () => { notice.remove(); document.getElementById("main")?.focus(); } }, icon("close")));
  fill(told, notice);
}
