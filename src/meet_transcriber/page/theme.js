/* Runs before anything is painted: data-theme on <html> is "light" or "dark", never absent. */
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Show a theme; without one, the one that was kept, else the one that the system prefers. */
function applyTheme(wanted) {
  let theme = wanted;
  try { theme ??= localStorage.getItem("theme"); } catch { /* storage is shut off: follow the system */ }
  if (theme !== "light" && theme !== "dark") theme = dark.matches ? "dark" : "light";
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event("themechange"));
}

applyTheme();
dark.addEventListener("change", () => applyTheme());
addEventListener("storage", () => applyTheme());
document.addEventListener("themechosen", (event) => applyTheme(event.detail));
