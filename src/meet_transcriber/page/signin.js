/* Signing in with an API key; the browser gets a cookie that no script can read. */

import { fill, h } from "./dom.js";

/**
 * @param {HTMLElement} root
 * @param {import("./api.js").Api} api
 * @param {string} why What happened, "" on a first visit.
 * @param {() => void} done Called once somebody is signed in.
 */
export function showSignIn(root, api, why, done) {
  const key = h("input", {
    id: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: false, "aria-describedby": "key-about",
  });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const button = h("button", { type: "submit", class: "button primary" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    wrong.textContent = "";
    try {
      await api.signIn(key.value.trim());
      done();
    } catch (problem) {
      wrong.textContent = problem.message;
      button.disabled = false;
      key.select();
      key.focus();
    }
  };
  fill(root, h("section", { class: "sign-in card" },
    h("h1", null, "Sign in"),
    why && h("p", { class: "why", role: "status" }, why),
    h("form", { onsubmit: submit },
      h("label", { for: "key" }, "API key"), key,
      h("p", { id: "key-about", class: "quiet" }, "Where the service runs, ", h("code", null, "meet-transcriber keys create NAME"),
        " makes one. You stay signed in for twelve hours."),
      wrong, button)));
  key.focus();
}
