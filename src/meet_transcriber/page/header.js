/* The header: home link, search, theme, API reference, sign out. */

import { announce, fill, h } from "./dom.js";
import { icon } from "./icons.js";

/** @param {import("./api.js").Api} api @param {(hash: string) => void} navigate */
export function showHeader(api, navigate) {
  const header = /** @type {HTMLElement} */ (document.getElementById("header"));
  const session = api.session;
  fill(header,
    h("a", { class: "brand", href: "#/", "aria-label": "Meet Transcriber: all meetings" }, h("img", { src: "/page/icon.svg", alt: "", width: 28, height: 28 }),
      h("span", null, "Meet Transcriber")),
    session && searchForm(navigate),
    h("nav", { class: "header-end", "aria-label": "Settings" },
      themeButton(),
      h("a", { class: "icon-button", href: "/docs", title: "API reference", "aria-label": "API reference" }, icon("book")),
      session?.expires_at && h("button", {
        class: "icon-button", type: "button", title: `Sign out ${session.name}`, "aria-label": `Sign out ${session.name}`,
        onclick: () => api.signOut().catch((problem) => announce(problem.message)),
      }, icon("leave"))));
}

function searchForm(navigate) {
  const input = h("input", {
    type: "search", name: "q", placeholder: "Search transcripts", "aria-label": "Search transcripts", dir: "auto",
    autocomplete: "off", enterkeyhint: "search",
  });
  return h("form", {
    class: "header-search", role: "search",
    onsubmit: (event) => {
      event.preventDefault();
      if (input.value.trim()) navigate(`#/search?q=${encodeURIComponent(input.value.trim())}`);
    },
  }, icon("search"), input);
}

function themeButton() {
  const button = h("button", { class: "icon-button", type: "button" });
  const show = () => {
    const dark = document.documentElement.dataset.theme === "dark";
    button.title = dark ? "Use light theme" : "Use dark theme";
    button.setAttribute("aria-label", button.title);
    fill(button, icon(dark ? "sun" : "moon"));
  };
  button.addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", theme); } catch { /* lasts for this visit only */ }
    document.dispatchEvent(new CustomEvent("themechosen", { detail: theme }));
    show();
  });
  document.addEventListener("themechange", show);
  show();
  return button;
}
