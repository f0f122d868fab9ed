/* The entry point: signs in, routes the address to a view, and names the window. */

import { Api } from "./api.js";
import { showHeader } from "./header.js";
import { announce, fill, h } from "./dom.js";
import { hideNotices, showError, showNotices } from "./notices.js";
import { showSignIn } from "./signin.js";

/**
 * What a view gets besides its root element.
 * @typedef {Object} Context
 * @property {Api} api
 * @property {(hash: string) => void} navigate Open a view: "#/job/ID?t=12.3".
 * @property {(text: string) => void} announce Announce a change to screen readers.
 * @property {(text: string) => void} showError Show an error until it is closed.
 * @property {import("./api.js").Session} session
 * @property {Object<string, string>} params Named groups of the path: {id} of a job.
 * @property {URLSearchParams} query The current query string.
 * @property {(listener: (query: URLSearchParams) => void) => void} onQuery Called when only the
 *   query changes, so the view stays.
 * @property {(text: string) => void} title Set the window's title.
 */

/** @type {[RegExp, () => Promise<{mount: (root: HTMLElement, context: Context) => () => void}>][]} */
const ROUTES = [
  [/^\/$/, () => import("./jobs/view.js")],
  [/^\/job\/(?<id>[\w-]+)$/, () => import("./transcript/view.js")],
  [/^\/search$/, () => import("./search/view.js")],
];

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const api = new Api();
let leave = () => {};
let shownPath = "";
/** True until the first view is shown: the focus stays at the top, so that Tab reaches the skip link. */
let firstView = true;
/** @type {((query: URLSearchParams) => void)[]} */
let queryListeners = [];

/** Show the view of the current address. */
async function route() {
  const { pathname: path, searchParams: query } = new URL(location.hash.slice(1) || "/", "http://page");
  if (path === shownPath) {
    for (const listener of queryListeners) listener(query);
    return;
  }
  clear();
  shownPath = path;
  const [pattern, load] = ROUTES.find(([each]) => each.test(path)) ?? [];
  if (!load) {
    fill(main, h("h1", null, "Page not found"), h("p", null, h("a", { href: "#/" }, "All meetings")));
    return;
  }
  const params = { ...pattern.exec(path)?.groups };
  const { mount } = await load();
  if (shownPath !== path) return; // another view was opened meanwhile
  leave = mount(main, { api, navigate, announce, showError, session: api.session, params, query, onQuery, title });
  if (!firstView) main.focus({ preventScroll: true });
  firstView = false;
  scrollTo(0, 0);
}

function clear() {
  leave();
  leave = () => {};
  queryListeners = [];
  shownPath = "";
  title("");
  fill(main);
}

/** @param {string} hash */
function navigate(hash) { location.hash = hash; }

function onQuery(listener) { queryListeners.push(listener); }

/** @param {string} text */
function title(text) { document.title = text ? `${text} · Meet Transcriber` : "Meet Transcriber"; }

let listening = false;

/** Show the page to a signed-in user. */
function enter() {
  showHeader(api, navigate);
  showNotices(api);
  if (!listening) addEventListener("hashchange", route);
  listening = true;
  route();
}

/** Ask for a key, then return to the current address. @param {string} why */
function askForKey(why) {
  removeEventListener("hashchange", route);
  listening = firstView = false;
  clear();
  hideNotices();
  showHeader(api, navigate);
  showSignIn(main, api, why, enter);
}

api.addEventListener("signedout", () => {
  if (!listening) return;
  const left = api.session === null;
  api.session = null;
  askForKey(left ? "You are signed out." : "Your session has expired. Sign in again to continue.");
});
document.getElementById("skip")?.addEventListener("click", () => main.focus());

async function start() {
  const path = new URL(location.hash.slice(1) || "/", "http://page").pathname;
  ROUTES.find(([each]) => each.test(path))?.[1]().catch(() => {}); // loads while the session is checked
  try {
    if (await api.whoami()) enter();
    else askForKey("");
  } catch (problem) {
    fill(main, h("h1", null, "The service is not responding"), h("p", null, problem.message),
      h("p", null, h("button", { class: "button", onclick: start }, "Try again")));
  }
}

start();
