/* Making elements. Text goes in as text nodes only, so nothing that is shown can be markup. */

const SVG = "http://www.w3.org/2000/svg";
const SAFE_ADDRESS = /^(#|\/(?!\/)|blob:|https?:)/i;
const MARKUP = new Set(["innerHTML", "outerHTML", "srcdoc", "style"]);

/**
 * Make an element.
 * @param {string} tag
 * @param {Object<string, any>|null} [props] `class`, `dataset`, `vars` (custom properties by name),
 *   `on...` (a listener), a property of the element, else an attribute; null and false leave it out.
 * @param {...any} children Nodes, texts, numbers, lists of them; null and false are left out.
 * @returns {any}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value !== null && value !== undefined && value !== false) set(element, name, value);
  }
  element.append(...nodes(children));
  return element;
}

/**
 * Make an element of SVG; values are attributes.
 * @param {string} tag
 * @param {Object<string, string|number>} [attributes]
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (/^on|href$|^style$/i.test(name)) throw new TypeError(`svg takes no ${name}`);
    element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** @param {Element} element @param {...any} children What it holds from now on. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/** @param {any[]} children @returns {(Node|string)[]} */
function nodes(children) {
  return children
    .flat(Infinity)
    .filter((each) => each !== null && each !== undefined && each !== false)
    .map((each) => (each instanceof Node ? each : String(each)));
}

function set(element, name, value) {
  if (MARKUP.has(name)) throw new TypeError(`h takes no ${name}`);
  if (name === "class") element.className = value;
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "vars") {
    for (const [key, each] of Object.entries(value)) element.style.setProperty(key, String(each));
  } else if (name.startsWith("on")) {
    if (typeof value !== "function") throw new TypeError(`${name} must be a function`);
    element.addEventListener(name.slice(2).toLowerCase(), value);
  } else if (name === "href" || name === "src") {
    if (!SAFE_ADDRESS.test(value)) throw new TypeError(`not an address to go to: ${value}`);
    element.setAttribute(name, value);
  } else if (name in element && !name.includes("-") && !ATTRIBUTES.has(name)) element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Properties that are read-only or take other values than the attribute of the same name. */
const ATTRIBUTES = new Set(["list", "form", "width", "height", "role", "download"]);

/**
 * Tell people who use a screen reader what has changed.
 * @param {string} text A sentence.
 */
export function announce(text) {
  const live = document.getElementById("announcer");
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 50); // an equal text must be a change, too
}

/**
 * Open a dialog; it closes with Escape, its close button or a submit button (`value` says which).
 * @param {string} title
 * @param {any[]} content What is in it; buttons of type submit end it.
 * @param {{wide?: boolean}} [options]
 * @returns {{dialog: HTMLDialogElement, closed: Promise<string>}} `closed` gives the value of the
 *   button, "" when it was dismissed.
 */
export function openDialog(title, content, options = {}) {
  const id = `dialog-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const dialog = h("dialog", { class: options.wide ? "dialog wide" : "dialog", "aria-labelledby": id },
    h("form", { method: "dialog", class: "dialog-form" }, h("h2", { id }, title), content));
  const closed = new Promise((done) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue);
    });
  });
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, closed };
}

/**
 * Ask before something that cannot be undone.
 * @param {string} title
 * @param {string} text
 * @param {string} verb What the button that does it says.
 * @returns {Promise<boolean>}
 */
export async function confirmed(title, text, verb) {
  const { closed } = openDialog(title, [
    h("p", { dir: "auto" }, text),
    h("div", { class: "dialog-actions" },
      h("button", { type: "submit", value: "", class: "button", autofocus: true }, "Keep it"),
      h("button", { type: "submit", value: "yes", class: "button danger" }, verb)),
  ]);
  return (await closed) === "yes";
}
