// The source of a quote: its page, with the quote marked, and the quote as text.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { call, pageText, pathOf } from "./api.js";
import { errorWords, stepOf } from "./parts.js";
import { PdfView, isOld, opened } from "./pdf-view.js";
import { IconButton } from "./icons.js";
import { find } from "./quote.js";
import { place as ordinal, t } from "./strings.js";

// The states that a note above the source explains.
const NOTED = ["loading", "gone", "failed", "unpaged"];

/** Return the address of a source, which stays valid for whoever may read the document. */
export function sourceAddress({ document, version, page, place, quote }) {
  const known = Object.entries({ document, version, page, place, quote }).filter(([, value]) => value);
  return `#/source?${new URLSearchParams(known)}`;
}

/** The text of a page that is not drawn, with the quote marked. */
function PageText({ text, quote }) {
  const first = useRef();
  useEffect(() => first.current?.scrollIntoView({ block: "center" }), []);
  const parts = [];
  let at = 0;
  for (const { start, end } of quote ? find([text], quote) : []) {
    parts.push(text.slice(at, start), html`<mark ref=${at ? null : first}>${text.slice(start, end)}</mark>`);
    at = end;
  }
  return html`<p class="text">${parts}${text.slice(at)}</p>`;
}

/** Return the part of the page's text that is the quote, empty where it is not there. */
function quoted(text, quote) {
  const places = find([text], quote);
  return places.length ? text.slice(places[0].start, places.at(-1).end) : "";
}

export function Source({ source, onClose, onStep }) {
  const root = useRef();
  const view = useRef();
  const heading = useRef();
  const [state, setState] = useState({ status: "loading" });
  const [pages, setPages] = useState(0);
  // The page at which the PDF is opened again, with a new link.
  const [again, setAgain] = useState(null);
  const [text, setText] = useState(null);
  const { document: name, version, page, quote, isGiven, one, among = [] } = source;

  useEffect(() => {
    let left = false;
    const show = async () => {
      setState({ status: "loading" });
      const linkedAt = Date.now();
      const record = await call("GET", `${pathOf(name)}?link=true`);
      if (left) return;
      if (!record.link) return setState({ status: "gone" });
      const replaced = Boolean(version) && version !== record.live_version;
      const id = `${name}\n${record.live_version}`;
      const pdf = await opened(id, record.link, linkedAt).catch((error) => {
        if (error.name === "InvalidPDFException") return null; // pdf.js: another kind of document
        throw error;
      });
      if (left) return;
      if (!pdf) return setState({ status: "unpaged", link: record.link, replaced });
      const onQuote = (boxes) => setState((now) => ({ ...now, status: boxes ? "marked" : "unmarked" }));
      const label = (number) => t("source.page", { page: ordinal(number) });
      const onFailed = (number, { message }) => {
        if (isOld(pdf.loadingTask)) setAgain({ page: number });
        else if (number === page) setState({ status: "failed", detail: message, replaced });
      };
      view.current = new PdfView(root.current, pdf, { page, quote, onQuote, onFailed, label });
      setPages(pdf.numPages);
      setState({ status: quote ? "drawing" : "open", replaced });
      await view.current.start();
      if (again) view.current.show(again.page);
    };
    const failed = (error) =>
      setState(error.status === 404 ? { status: "gone" } : { status: "failed", detail: errorWords(error) });
    show().catch((error) => left || failed(error));
    if (!again) heading.current?.focus();
    return () => {
      left = true;
      view.current?.close();
    };
  }, [name, version, page, quote, again]);

  const isDrawn = !["unpaged", "failed"].includes(state.status);
  // Anybody can write a link with a quote: it is shown in the words of the document, and only if these are there.
  const isRead = !isDrawn || (Boolean(quote) && !isGiven);
  useEffect(() => {
    let left = false;
    setText(null);
    // Without the text, such as of a very long document, the file is there.
    if (isRead) pageText(name, page).then((found) => left || setText(found), () => left || setText(""));
    return () => {
      left = true;
    };
  }, [name, page, isRead]);

  const at = { page: ordinal(page), pages: ordinal(pages) };
  const words = isGiven || !quote ? quote : quoted(text ?? "", quote);
  const isForeign = quote && !isGiven && text !== null && !words && state.status !== "marked";
  const isLost = !isForeign && (state.status === "unmarked" || (!isDrawn && text && quote && !quoted(text, quote)));
  // The label of a place such as a slide comes from the API too.
  const place = isGiven && source.place ? source.place : pages > 0 && t("source.place", at);
  const number = among.indexOf(one) + 1;
  const onKey = (event) => {
    if (event.key === "Escape") onClose();
    const by = stepOf(event);
    if (by && ["ArrowLeft", "ArrowRight"].includes(event.key)) onStep(by); // the others scroll
  };
  return html`
    <section class="source" aria-labelledby="source-title" data-state=${state.status} onKeyDown=${onKey}>
      <header>
        <h2 id="source-title" tabindex="-1" ref=${heading}>${name} <span class="muted">${place}</span></h2>
        <span class="steps">
          ${among.length > 1 && html`
            <${IconButton} icon="before" label=${t("source.before")} aria-disabled=${number < 2} onClick=${() => onStep(-1)} />
            <span class="muted">${ordinal(number)} / ${ordinal(among.length)}</span>
            <${IconButton} icon="after" label=${t("source.after")} aria-disabled=${number === among.length}
              onClick=${() => onStep(1)} />`}
          <${IconButton} icon="close" label=${t("source.close")} onClick=${onClose} />
        </span>
      </header>
      ${state.replaced && html`<p class="note" role="status">${t("source.replaced")}</p>`}
      ${NOTED.includes(state.status) && html`<p class="note" role="status">
        ${t(`source.${state.status}`, { detail: state.detail ?? "" })}
        ${state.link && html` <a href=${state.link} target="_blank"
          download=${name.split("/").pop()}>${t("source.save")}</a>`}
      </p>`}
      ${isForeign && html`<p class="note foreign" role="alert">${t("source.foreign")}</p>`}
      ${isLost && html`<p class="note" role="status">${t("source.unmarked")}</p>`}
      ${words && html`<div key="cited" class="cited"><blockquote tabindex="0">${words}</blockquote>
        ${pages > 0 && html`<button class="quiet" onClick=${() => view.current?.show(page)}>${t("source.back")}</button>`}
      </div>`}
      ${text && !isDrawn && html`<div key="text" class="pages" tabindex="0" role="group"
        aria-label=${t("source.text")}>
        <${PageText} text=${text} quote=${quote} />
      </div>`}
      <div key="pages" class="pages" ref=${root} hidden=${Boolean(text) && !isDrawn} tabindex="0" role="group"
        aria-label=${t("source.pages")}></div>
    </section>`;
}
