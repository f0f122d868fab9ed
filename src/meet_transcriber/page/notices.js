/* Notices above every view: server unreachable, models missing, errors. */

import { announce, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { makeEngineNotice } from "./engine_notice.js";

let listening = false;
const offline = h("div", { class: "notice warning", role: "alert", hidden: true });
const errors = h("div", null);

/** @param {import("./api.js").Api} api */
export function showNotices(api) {
  fill(/** @type {HTMLElement} */ (document.getElementById("notices")), offline, makeEngineNotice(api), errors);
  const show = () => {
    offline.hidden = api.online;
    fill(offline, !api.online && [icon("warning"),
      h("p", null, h("b", null, "The server cannot be reached. "), "This page may be out of date. Uploads and edits resume automatically.")]);
  };
  if (!listening) {
    for (const name of ["online", "offline"]) api.addEventListener(name, show);
    api.addEventListener("online", () => announce("The server can be reached again."));
  }
  listening = true;
  show();
}

/** Remove the notices, when no user is signed in. */
export function hideNotices() {
  fill(/** @type {HTMLElement} */ (document.getElementById("notices")));
}

/** Show an error until it is closed. @param {string} text */
export function showError(text) {
  const notice = h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("p", { dir: "auto" }, text),
    h("button", { class: "icon-button", type: "button", "aria-label": "Close this notice", onclick: () => { notice.remove(); document.getElementById("main")?.focus(); } }, icon("close")));
  fill(errors, notice);
}
