/* The sign-in form: exchanges an API key for an HttpOnly session cookie. */

import { fill, h } from "./dom.js";

/**
 * @param {HTMLElement} root
 * @param {import("./api.js").Api} api
 * @param {string} why Why the user must sign in, "" on the first visit.
 * @param {() => void} done Called after signing in.
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
      h("p", { id: "key-about", class: "quiet" }, "Create one on the server with ", h("code", null, "meet-transcriber keys create NAME"),
        ". You stay signed in for 12 hours."),
      wrong, button)));
  key.focus();
}
