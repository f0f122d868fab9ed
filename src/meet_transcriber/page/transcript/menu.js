/* A menu below a button: arrow keys move, Escape closes and returns the focus. */

import { h } from "../dom.js";

/**
 * @typedef {Object} Item
 * @property {any} label Text, or nodes.
 * @property {() => void} [run]
 * @property {string} [href] Of a download.
 * @property {string} [hint] A key or a description.
 */

/**
 * @param {HTMLElement} anchor The button it belongs to.
 * @param {string} label
 * @param {Item[]} items
 */
export function openMenu(anchor, label, items) {
  const menu = h("div", { class: "menu", role: "menu", "aria-label": label, popover: "auto", onkeydown: move },
    items.map((item) => entry(item, () => close(true))));
  menu.firstElementChild.tabIndex = 0;
  const close = (back) => {
    if (back) anchor.focus();
    menu.hidePopover();
  };
  menu.addEventListener("toggle", ({ newState }) => {
    if (newState !== "closed") return;
    anchor.setAttribute("aria-expanded", "false");
    if (menu.contains(document.activeElement)) anchor.focus();
    menu.remove();
  });
  anchor.setAttribute("aria-expanded", "true");
  (anchor.closest("main") ?? document.body).append(menu);
  menu.showPopover();
  place(menu, anchor);
  menu.firstElementChild.focus();
}

function entry({ label, run, href, hint }, close) {
  const content = [h("span", { class: "menu-label" }, label), hint && h("span", { class: "menu-hint" }, hint)];
  if (href) {
    return h("a", { class: "menu-item", role: "menuitem", tabindex: -1, href, download: "", onclick: () => setTimeout(close) }, content);
  }
  return h("button", {
    class: "menu-item", role: "menuitem", tabindex: -1, type: "button",
    onclick: () => { close(); run(); },
  }, content);
}

function place(menu, anchor) {
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const left = Math.min(Math.max(8, box.left), innerWidth - width - 8);
  const below = box.bottom + 4;
  const top = below + height < innerHeight - 8 ? below : Math.max(8, box.top - height - 4);
  menu.style.left = `${left}px`;
  menu.style.top = `${top}px`;
}

function move(event) {
  if (event.key === "Tab") event.currentTarget.hidePopover(); // the focus continues from the menu's button
  const items = [...event.currentTarget.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  items[to % items.length].focus();
}
