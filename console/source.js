// The source of a quote: its page, with the quote marked, and the quote as text.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { call, pathOf } from "./api.js";
import { PdfView, isOld, opened } from "./pdf-view.js";
import { place as ordinal, t } from "./strings.js";

const NOTES = {
  loading: "source.loading",
  gone: "source.gone",
  failed: "source.failed",
  unpaged: "source.unpaged",
  unmarked: "source.unmarked",
};

/** Return the address of a source, which stays valid for whoever may read the document. */
export function sourceAddress({ document, version, page, place, quote }) {
  const known = Object.entries({ document, version, page, place, quote }).filter(([, value]) => value);
  return `#/source?${new URLSearchParams(known)}`;
}

export function Source({ source, onClose }) {
  const root = useRef();
  const view = useRef();
  const heading = useRef();
  const [state, setState] = useState({ status: "loading" });
  const [pages, setPages] = useState(0);
  // The page at which the PDF is opened again, with a new link.
  const [again, setAgain] = useState(null);
  const { document: name, version, page, place, quote } = source;

  useEffect(() => {
    let left = false;
    const show = async () => {
      setState({ status: "loading" });
      const record = await call("GET", `${pathOf(name)}?link=true`);
      if (left) return;
      if (!record.link) return setState({ status: "gone" });
      const id = `${name}\n${record.live_version}`;
      const pdf = await opened(id, record.link).catch((error) => {
        if (error.name === "InvalidPDFException") return null; // pdf.js: another kind of document
        throw error;
      });
      if (left) return;
      if (!pdf) return setState({ status: "unpaged", link: record.link });
      const onQuote = (boxes) => setState((now) => ({ ...now, status: boxes ? "marked" : "unmarked" }));
      const label = (number) => t("source.page", { page: ordinal(number) });
      const onFailed = (number) => isOld(id) && setAgain({ page: number });
      view.current = new PdfView(root.current, pdf, { page, quote, onQuote, onFailed, label });
      setPages(pdf.numPages);
      const replaced = Boolean(version) && version !== record.live_version;
      setState({ status: quote ? "drawing" : "open", replaced });
      await view.current.start();
      if (again) view.current.show(again.page);
    };
    show().catch((error) => left || setState({ status: "failed", detail: error.message }));
    if (!again) heading.current?.focus();
    return () => {
      left = true;
      view.current?.close();
    };
  }, [name, version, page, quote, again]);

  const at = { page: ordinal(page), pages: ordinal(pages) };
  const note = NOTES[state.status];
  return html`
    <section class="source" aria-labelledby="source-title" data-state=${state.status}
      onKeyDown=${(event) => event.key === "Escape" && onClose()}>
      <header>
        <h2 id="source-title" tabindex="-1" ref=${heading}>
          ${name} <span class="muted">${place || (pages > 0 && t("source.place", at))}</span>
        </h2>
        ${pages > 0 && html`
          <button class="quiet" onClick=${() => view.current?.show(page)}>${t("source.back")}</button>`}
        <button class="quiet" onClick=${onClose} aria-label=${t("source.close")}>✕</button>
      </header>
      ${state.replaced && html`<p class="note" role="status">${t("source.replaced")}</p>`}
      ${note && html`<p class="note" role="status">
        ${t(note, { detail: state.detail ?? "" })}
        ${state.link && html` <a href=${state.link} download=${name.split("/").pop()}>${t("source.save")}</a>`}
      </p>`}
      ${quote && html`<blockquote>${quote}</blockquote>`}
      <div class="pages" ref=${root} tabindex="0" role="group" aria-label=${t("source.pages")}></div>
    </section>`;
}
