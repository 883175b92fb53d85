// A small picture of a cited page, beside the card under the pointer or with the focus.
import { call, pathOf } from "./api.js";
import { PdfView, opened } from "./pdf-view.js";

// A pointer that only passes opens none.
const SOON_MS = 400;
const SIZE = { width: 260, height: 330 };
const GAP = 8;
// A link is asked for once in this time: each counts as a request. It is valid for 300 s (DOCWELL_LINK_S).
const KEPT_MS = 200_000;

const links = new Map();
let shown = null;

function linkOf(document) {
  const known = links.get(document);
  if (known && Date.now() - known.at < KEPT_MS) return known;
  const record = call("GET", `${pathOf(document)}?link=true`);
  record.catch(() => links.delete(document));
  links.set(document, { at: Date.now(), record });
  return links.get(document);
}

export function hidePreview() {
  clearTimeout(shown?.timer);
  shown?.view?.close();
  shown?.box?.remove();
  shown = null;
}

async function show(mine, { document: name, page, quote }) {
  const { target } = mine;
  const { record, at: linkedAt } = linkOf(name);
  const { link, live_version: version } = await record;
  const pdf = await opened(`${name}\n${version}`, link, linkedAt);
  if (shown !== mine || !target.isConnected) return;
  const box = document.createElement("div");
  box.className = "preview pages";
  box.setAttribute("aria-hidden", "true"); // the card opens the same page
  const at = target.getBoundingClientRect();
  const isAbove = at.bottom + GAP + SIZE.height > innerHeight && at.top > SIZE.height + GAP;
  const top = isAbove ? at.top - SIZE.height - GAP : at.bottom + GAP;
  box.style.insetBlockStart = `${Math.max(GAP, Math.min(top, innerHeight - SIZE.height - GAP))}px`;
  box.style.left = `${Math.max(GAP, Math.min(at.left, innerWidth - SIZE.width - GAP))}px`;
  document.body.append(box);
  const nothing = () => {};
  const view = new PdfView(box, pdf, {
    page, quote, alone: true, onQuote: nothing, onFailed: hidePreview, label: nothing });
  Object.assign(mine, { box, view });
  await view.start();
}

/** Return the listeners of an element that opens a source, for a preview of its page. */
export function previews(source) {
  if (!source.document.toLowerCase().endsWith(".pdf")) return {};
  const soon = ({ currentTarget: target }) => {
    if (shown?.target === target) return;
    hidePreview();
    const mine = { target };
    mine.timer = setTimeout(() => show(mine, source).catch(hidePreview), SOON_MS);
    shown = mine;
  };
  return {
    // A move: the page may also bring an element under a pointer at rest.
    onPointerMove: (event) => event.pointerType === "mouse" && !event.buttons && soon(event),
    onFocus: (event) => event.target.matches(":focus-visible") && soon(event),
    onBlur: hidePreview,
  };
}

/** Hide previews when the pointer leaves their elements, and with the next key, click or turn of the wheel. */
export function watchPreviews() {
  addEventListener("pointermove", ({ target }) => shown && !shown.target.contains(target) && hidePreview());
  for (const name of ["pointerdown", "keydown", "wheel", "hashchange"]) {
    addEventListener(name, hidePreview, { passive: true });
  }
}
