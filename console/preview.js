// A small picture of a cited page, beside the card under the pointer or with the focus. Other kinds of documents than
// PDF have no pages to draw: theirs is the text that the source shows too, with the quote marked.
import { call, pageText, pathOf } from "./api.js";
import { PdfView, opened } from "./pdf-view.js";
import { find } from "./quote.js";

// A pointer that only passes opens none.
const SOON_MS = 400;
const SIZE = { width: 260, height: 330 };
const GAP = 8;
// A link is asked for once in this time: each counts as a request. It is valid for 300 s (DOCWELL_LINK_S).
const KEPT_MS = 200_000;

const answers = new Map();
let shown = null;

/** Return {at, answer} of a request, which is not repeated for a while. */
function once(id, request) {
  const known = answers.get(id);
  if (known && Date.now() - known.at < KEPT_MS) return known;
  const answer = request();
  answer.catch(() => answers.delete(id));
  answers.set(id, { at: Date.now(), answer });
  return answers.get(id);
}

export function hidePreview() {
  clearTimeout(shown?.timer);
  shown?.view?.close();
  shown?.box?.remove();
  shown = null;
}

/** Put an empty box beside the element. */
function boxAt(target, name) {
  const box = document.createElement("div");
  box.className = `preview ${name}`;
  box.setAttribute("aria-hidden", "true"); // the card opens the same page
  const at = target.getBoundingClientRect();
  const isAbove = at.bottom + GAP + SIZE.height > innerHeight && at.top > SIZE.height + GAP;
  const top = isAbove ? at.top - SIZE.height - GAP : at.bottom + GAP;
  box.style.insetBlockStart = `${Math.max(GAP, Math.min(top, innerHeight - SIZE.height - GAP))}px`;
  box.style.left = `${Math.max(GAP, Math.min(at.left, innerWidth - SIZE.width - GAP))}px`;
  document.body.append(box);
  return box;
}

async function show(mine, source) {
  return source.document.toLowerCase().endsWith(".pdf") ? showPage(mine, source) : showText(mine, source);
}

async function showPage(mine, { document: name, page, quote }) {
  const { answer, at: linkedAt } = once(name, () => call("GET", `${pathOf(name)}?link=true`));
  const { link, live_version: version } = await answer;
  const pdf = await opened(`${name}\n${version}`, link, linkedAt);
  if (shown !== mine || !mine.target.isConnected) return;
  const box = boxAt(mine.target, "pages");
  const nothing = () => {};
  const view = new PdfView(box, pdf, {
    page, quote, alone: true, onQuote: nothing, onFailed: hidePreview, label: nothing });
  Object.assign(mine, { box, view });
  await view.start();
}

async function showText(mine, { document: name, page, quote }) {
  const text = await once(`${name}\n${page}`, () => pageText(name, page)).answer;
  if (shown !== mine || !mine.target.isConnected) return;
  mine.box = boxAt(mine.target, "text");
  const places = find([text], quote);
  const [first, last] = [places.at(0)?.start ?? 0, places.at(-1)?.end ?? 0];
  const mark = document.createElement("mark");
  mark.append(text.slice(first, last));
  mine.box.append(text.slice(0, first), mark, text.slice(last));
  mine.box.scrollTop = mark.offsetTop - SIZE.height / 3;
}

/** Return the listeners of an element that opens a source, for a preview of its page. */
export function previews(source) {
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
