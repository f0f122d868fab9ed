/* What is true of the whole page: the server is away, draft engines are in use. */

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

let listening = false;

/** @param {import("./api.js").Api} api */
export function showNotices(api) {
  const root = /** @type {HTMLElement} */ (document.getElementById("notices"));
  const offline = h("div", { class: "notice warning", role: "alert", hidden: true });
  const show = () => {
    offline.hidden = api.online;
    fill(offline, !api.online && [icon("warning"),
      h("p", null, "The server cannot be reached. What you see may be old; uploads go on when it is back.")]);
  };
  fill(root, offline);
  if (!listening) for (const name of ["online", "offline"]) api.addEventListener(name, show);
  listening = true;
  show();
}
