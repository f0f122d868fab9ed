/* Writes out all segments while printing, as the list holds only those in sight. */

import { h } from "../dom.js";
import { clock } from "../format.js";

/**
 * @param {() => {title: string, segments: import("./model.js").Segment[], speakers: import("./speakers.js").Speakers}} content
 * @returns {() => void} Removes the listeners.
 */
export function printable(content) {
  let paper = null;
  const before = () => {
    paper?.remove();
    paper = sheet(content());
    document.body.append(paper);
  };
  const after = () => { paper?.remove(); };
  addEventListener("beforeprint", before);
  addEventListener("afterprint", after);
  return () => {
    removeEventListener("beforeprint", before);
    removeEventListener("afterprint", after);
    after();
  };
}

function sheet({ title, segments, speakers }) {
  let last;
  return h("article", { class: "paper" }, h("h1", { dir: "auto" }, title), segments.map(({ speaker, start, text }) => {
    const fresh = speaker !== last;
    last = speaker;
    return [
      fresh && h("h2", null, h("bdi", null, speakers.name(speaker)), " ", h("small", null, clock(start))),
      h("p", { dir: "auto" }, text),
    ];
  }));
}
