/* One meeting: its player, its words, its speakers. */

import { h } from "../dom.js";

/** @param {HTMLElement} root @param {import("../app.js").Context} context */
export function mount(root, context) {
  root.append(h("h1", null, `Meeting ${context.params.id}`));
  return () => {};
}
