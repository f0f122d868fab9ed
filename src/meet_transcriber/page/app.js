/* The shell: who is here, which view is shown, and what is true of the whole page. */

import { Api } from "./api.js";
import { showHeader } from "./header.js";
import { announce, fill, h } from "./dom.js";
import { hideNotices, showNotices, tell } from "./notices.js";
import { showSignIn } from "./signin.js";

/**
 * What a view gets beside its root.
 * @typedef {Object} Context
 * @property {Api} api
 * @property {(hash: string) => void} navigate Go to a view: "#/job/ID?t=12.3".
 * @property {(text: string) => void} announce Tell people who use a screen reader.
 * @property {(text: string) => void} tell Show everybody what went wrong, until it is put away.
 * @property {import("./api.js").Session} session
 * @property {Object<string, string>} params What the path names: {id} of a job.
 * @property {URLSearchParams} query What stands behind the question mark, as of now.
 * @property {(listener: (query: URLSearchParams) => void) => void} onQuery Called when the query
 *   changes and the path does not; the view stays.
 * @property {(text: string) => void} title Name the view in the window's title.
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
/** Nothing was shown yet: the focus is at the beginning, where the first Tab finds the way past the bar. */
let fresh = true;
/** @type {((query: URLSearchParams) => void)[]} */
let queryListeners = [];

/** Show what the address names. */
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
    fill(main, h("h1", null, "There is no such page"), h("p", null, h("a", { href: "#/" }, "All meetings")));
    return;
  }
  const params = { ...pattern.exec(path)?.groups };
  const { mount } = await load();
  if (shownPath !== path) return; // somebody was quicker than the network
  leave = mount(main, { api, navigate, announce, tell, session: api.session, params, query, onQuery, title });
  if (!fresh) main.focus({ preventScroll: true });
  fresh = false;
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

/** Show the page to somebody who may see it. */
function enter() {
  showHeader(api, navigate);
  showNotices(api);
  if (!listening) addEventListener("hashchange", route);
  listening = true;
  route();
}

/** Ask for a key; afterwards one is where one was. @param {string} why */
function askForKey(why) {
  removeEventListener("hashchange", route);
  listening = fresh = false;
  clear();
  hideNotices();
  showHeader(api, navigate);
  showSignIn(main, api, why, enter);
}

api.addEventListener("signedout", () => {
  if (!listening) return;
  const left = api.session === null;
  api.session = null;
  askForKey(left ? "You are signed out." : "Your session is over; sign in again to go on where you were.");
});
document.getElementById("skip")?.addEventListener("click", () => main.focus());

async function start() {
  const path = new URL(location.hash.slice(1) || "/", "http://page").pathname;
  ROUTES.find(([each]) => each.test(path))?.[1]().catch(() => {}); // on its way while the server is asked who is here
  try {
    if (await api.whoami()) enter();
    else askForKey("");
  } catch (problem) {
    fill(main, h("h1", null, "The service does not answer"), h("p", null, problem.message),
      h("p", null, h("button", { class: "button", onclick: start }, "Try again")));
  }
}

start();
