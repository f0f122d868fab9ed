/* What was said in which meeting. */

import { h } from "../dom.js";

/** @param {HTMLElement} root @param {import("../app.js").Context} context */
export function mount(root, context) {
  root.append(h("h1", null, "Search"));
  return () => {};
}
