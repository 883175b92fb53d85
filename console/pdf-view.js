// The pages of a PDF, drawn when they come into view, with a quote marked on one of them.
import { find } from "./quote.js";

// A page is read by ranges of this size; the rest of the file is not.
const RANGE_BYTES = 65536;
// Pages this near to the view are drawn before they are seen.
const AHEAD = "600px 0px";
// The PDFs that are kept open.
const OPEN = 3;
// A link is valid for minutes. A page that fails while its link is younger fails for another reason.
const RENEWED_MS = 60_000;

let library;
/** The loading tasks of the open PDFs by their ids, and of each the time of its link. */
const open = new Map();
const linked = new WeakMap();
const views = new Set();

async function pdfjs() {
  library ??= await import("./vendor/pdf.min.mjs");
  library.GlobalWorkerOptions.workerSrc = new URL("vendor/pdf.worker.min.mjs", import.meta.url).href;
  return library;
}

/** Return the PDF at a link of the time `at`, in milliseconds. Those of the last documents stay open. */
export async function opened(id, url, at) {
  const { getDocument } = await pdfjs();
  const known = open.get(id);
  if (known && isOld(known) && linked.get(known) < at) forget(id);
  if (!open.has(id)) {
    const options = { rangeChunkSize: RANGE_BYTES, disableAutoFetch: true, disableStream: true };
    // No WebAssembly, which the page's policy forbids; no scripts and forms of the document.
    const task = getDocument({ url, ...options, useWasm: false, enableXfa: false });
    task.promise.catch(() => open.get(id) === task && open.delete(id));
    open.set(id, task);
    linked.set(task, at);
    [...open.keys()].slice(0, -OPEN).forEach(forget);
  }
  return open.get(id).promise;
}

/** Return whether the link of a PDF's loading task may have expired. */
export const isOld = (task) => Date.now() - linked.get(task) > RENEWED_MS;

function forget(id) {
  const task = open.get(id);
  open.delete(id);
  release(task);
}

/** Close a PDF that is forgotten, when no view shows it. */
function release(task) {
  const isShown = [...views].some((view) => view.pdf.loadingTask === task);
  if (!isShown && ![...open.values()].includes(task)) task.destroy();
}

function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

export class PdfView {
  /**
   * Show `pdf` in `root` at `page`. `onQuote` gets the number of marked boxes, `onFailed` a page that cannot be
   * drawn; `label` names a page. The page `alone` has no others beside it.
   */
  constructor(root, pdf, { page, quote, onQuote, onFailed, label, alone = false }) {
    Object.assign(this, { root, pdf, page, quote, onQuote, onFailed, label, alone });
    Object.assign(this, { sheets: [], drawn: new Map(), closed: false });
    this.seen = new IntersectionObserver((entries) => this.moved(entries), { root, rootMargin: AHEAD });
    views.add(this);
  }

  async start() {
    const first = await this.pdf.getPage(Math.min(this.page, this.pdf.numPages));
    if (this.closed) return;
    const { width, height } = first.getViewport({ scale: 1 });
    const [from, to] = this.alone ? [this.page, this.page] : [1, this.pdf.numPages];
    for (let number = from; number <= to; number += 1) {
      const sheet = element("div", "sheet");
      sheet.style.aspectRatio = `${width} / ${height}`;
      sheet.dataset.page = String(number);
      sheet.setAttribute("role", "region");
      sheet.setAttribute("aria-label", this.label(number));
      this.sheets[number - 1] = sheet;
      this.seen.observe(sheet);
    }
    this.root.replaceChildren(...this.sheets.filter(Boolean));
    this.show(this.page);
    if (this.quote && this.page > this.sheets.length) this.onQuote(0); // of a longer version
  }

  show(page) {
    const sheet = this.sheets[page - 1];
    if (sheet) this.root.scrollTop = sheet.offsetTop - this.root.offsetTop - 8;
  }

  close() {
    this.closed = true;
    this.seen.disconnect();
    for (const number of [...this.drawn.keys()]) this.erase(number);
    views.delete(this);
    release(this.pdf.loadingTask);
  }

  moved(entries) {
    for (const { target, isIntersecting } of entries) {
      const number = Number(target.dataset.page);
      if (isIntersecting && !this.drawn.has(number)) this.draw(number, target);
      if (!isIntersecting && this.drawn.has(number)) this.erase(number);
    }
  }

  erase(number) {
    this.drawn.get(number)?.task?.cancel();
    this.drawn.delete(number);
    this.sheets[number - 1].replaceChildren();
  }

  async draw(number, sheet) {
    const drawing = { task: null };
    this.drawn.set(number, drawing);
    const current = () => !this.closed && this.drawn.get(number) === drawing;
    try {
      const page = await this.pdf.getPage(number);
      if (!current()) return;
      const base = page.getViewport({ scale: 1 });
      sheet.style.aspectRatio = `${base.width} / ${base.height}`;
      const viewport = page.getViewport({ scale: sheet.clientWidth / base.width });
      const canvas = element("canvas", "");
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      canvas.width = Math.floor(viewport.width * ratio);
      canvas.height = Math.floor(viewport.height * ratio);
      canvas.setAttribute("aria-hidden", "true");
      const text = element("div", "textLayer");
      sheet.replaceChildren(canvas, text);
      sheet.style.setProperty("--total-scale-factor", String(viewport.scale));
      const transform = ratio === 1 ? null : [ratio, 0, 0, ratio, 0, 0];
      drawing.task = page.render({ canvas, viewport, transform });
      await Promise.all([this.write(page, viewport, text, sheet, number, current), drawing.task.promise]);
    } catch (error) {
      if (error.name === "RenderingCancelledException" || !current()) return;
      sheet.classList.add("failed");
      this.onFailed(number, error);
    }
  }

  async write(page, viewport, container, sheet, number, current) {
    const { TextLayer } = await pdfjs();
    const layer = new TextLayer({ textContentSource: await page.getTextContent(), container, viewport });
    await layer.render();
    if (current() && this.quote && number === this.page) this.mark(layer, sheet);
  }

  mark(layer, sheet) {
    const frame = sheet.getBoundingClientRect();
    let boxes = 0;
    let first;
    for (const { index, start, end } of find(layer.textContentItemsStr, this.quote)) {
      const node = layer.textDivs[index]?.firstChild;
      if (!node) continue;
      const range = document.createRange();
      range.setStart(node, start);
      range.setEnd(node, end);
      for (const box of range.getClientRects()) {
        const mark = element("div", "quote-box");
        mark.style.left = `${(100 * (box.left - frame.left)) / frame.width}%`;
        mark.style.top = `${(100 * (box.top - frame.top)) / frame.height}%`;
        mark.style.width = `${(100 * box.width) / frame.width}%`;
        mark.style.height = `${(100 * box.height) / frame.height}%`;
        sheet.append(mark);
        first ??= box.top;
        boxes += 1;
      }
    }
    // Last: it moves the boxes.
    if (boxes) this.root.scrollTop += first - this.root.getBoundingClientRect().top - 120;
    this.onQuote(boxes);
  }
}
