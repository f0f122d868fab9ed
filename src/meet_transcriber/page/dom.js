/* Creates elements. Text becomes text nodes only, so no content can inject markup. */

const SVG = "http://www.w3.org/2000/svg";
const SAFE_URL = /^(#|\/(?!\/)|blob:|https?:)/i;
const MARKUP = new Set(["innerHTML", "outerHTML", "srcdoc", "style"]);

/**
 * Create an element.
 * @param {string} tag
 * @param {Object<string, any>|null} [props] `class`, `dataset`, `vars` (custom properties by name),
 *   `on...` (a listener), a property of the element, else an attribute; null and false are skipped.
 * @param {...any} children Nodes, strings, numbers or lists of them; null and false are skipped.
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
 * Create an SVG element.
 * @param {string} tag
 * @param {Object<string, string|number>} [attributes]
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (/^on|href$|^style$/i.test(name)) throw new TypeError(`svg does not accept ${name}`);
    element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** @param {Element} element @param {...any} children Its new content. */
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
  if (MARKUP.has(name)) throw new TypeError(`h does not accept ${name}`);
  if (name === "class") element.className = value;
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "vars") {
    for (const [key, each] of Object.entries(value)) element.style.setProperty(key, String(each));
  } else if (name.startsWith("on")) {
    if (typeof value !== "function") throw new TypeError(`${name} must be a function`);
    element.addEventListener(name.slice(2).toLowerCase(), value);
  } else if (name === "href" || name === "src") {
    if (!SAFE_URL.test(value)) throw new TypeError(`unsafe URL: ${value}`);
    element.setAttribute(name, value);
  } else if (name in element && !name.includes("-") && !ATTRIBUTES.has(name)) element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Set as attributes: their properties are read-only or take other values. */
const ATTRIBUTES = new Set(["list", "form", "width", "height", "role", "download"]);

/**
 * Announce a change to screen readers.
 * @param {string} text A sentence.
 */
export function announce(text) {
  const live = document.getElementById("announcer");
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 50); // so that the same text is announced again
}

/**
 * Open a modal dialog; Escape or a submit button closes it.
 * @param {string} title
 * @param {any[]} content Buttons of type submit close the dialog.
 * @param {{wide?: boolean}} [options]
 * @returns {{dialog: HTMLDialogElement, closed: Promise<string>}} `closed` resolves to the value of the
 *   submit button, "" if it was dismissed.
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
 * Ask for confirmation.
 * @param {string} title
 * @param {string} text
 * @param {string} verb Label of the confirming button.
 * @returns {Promise<boolean>}
 */
export async function confirmed(title, text, verb) {
  const { closed } = openDialog(title, [
    h("p", { dir: "auto" }, text),
    h("div", { class: "dialog-actions" },
      h("button", { type: "submit", value: "", class: "button", autofocus: true }, "Cancel"),
      h("button", { type: "submit", value: "yes", class: "button danger" }, verb)),
  ]);
  return (await closed) === "yes";
}
