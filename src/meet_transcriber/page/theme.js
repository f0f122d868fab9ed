/* Runs before the first paint; sets data-theme on <html> to "light" or "dark". */
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Apply a theme, by default the stored one, else the system's. */
function applyTheme(wanted) {
  let theme = wanted;
  try { theme ??= localStorage.getItem("theme"); } catch { /* no storage: follow the system */ }
  if (theme !== "light" && theme !== "dark") theme = dark.matches ? "dark" : "light";
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event("themechange"));
}

applyTheme();
dark.addEventListener("change", () => applyTheme());
addEventListener("storage", () => applyTheme());
document.addEventListener("themechosen", (event) => applyTheme(event.detail));
