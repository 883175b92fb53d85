// Parts that several views share.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { call } from "./api.js";
import { markdown, pieces, placeOf, rowsOf, says, sourceOf } from "./answer.js";
import { dropped } from "./files.js";
import { Icon } from "./icons.js";
import { hidePreview, previews } from "./preview.js";
import { LANGUAGES, decimal, has, language, t } from "./strings.js";

/** A button for work that goes on: meanwhile it does nothing, and keeps the focus that a disabled one loses. */
export const Work = ({ busy, onClick, class: name, children }) => html`
  <button class=${name} aria-disabled=${busy} onClick=${() => busy || onClick()}>${children}</button>`;

/** Facts as [name, value], side by side. */
export const Facts = ({ rows }) => html`<dl class="facts">${rows.map(([name, value]) => html`
  <div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

/** Return the attributes of an area that takes the files of a drop. */
export function useDrop(onFiles, onFailed) {
  const [over, setOver] = useState(false);
  const onDrop = (event) => {
    event.preventDefault();
    setOver(false);
    dropped(event.dataTransfer).then(onFiles, onFailed);
  };
  const onDragOver = (event) => {
    event.preventDefault();
    setOver(true);
  };
  return { class: over ? "drop over" : "drop", onDrop, onDragOver, onDragLeave: () => setOver(false) };
}

/** The choice of the interface's language. */
export function Languages({ onLanguage }) {
  return html`
    <select class="quiet" aria-label=${t("nav.language")} value=${language()}
      onChange=${(event) => onLanguage(event.target.value)}>
      ${Object.entries(LANGUAGES).map(([code, name]) => html`<option value=${code} lang=${code}>${name}</option>`)}
    </select>`;
}

/** Return the words for an error. Its message may be the name of a text. */
export function errorWords({ message }) {
  const key = [`error.${message}`, `reason.${message}`].find(has);
  return key ? t(key) : message;
}

/** An error in words, with the id under which the logs have it. */
export function Failure({ error }) {
  if (!error) return null;
  return html`<p class="failure" role="alert">
    ${errorWords(error)} ${error.requestId && html`<small>${t("error.id", { id: error.requestId })}</small>`}
  </p>`;
}

// The keys that move the focus among the cards of a list, and by how many.
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

/** Return by how many an event's key moves, in the direction of the language; 0 for other keys and with a modifier. */
export function stepOf({ key, altKey, ctrlKey, metaKey, shiftKey }) {
  if (altKey || ctrlKey || metaKey || shiftKey) return 0;
  const isMirrored = document.documentElement.dir === "rtl" && ["ArrowLeft", "ArrowRight"].includes(key);
  return (STEPS[key] ?? 0) * (isMirrored ? -1 : 1);
}

function step(event) {
  const by = stepOf(event);
  if (!by) return;
  const cards = [...event.currentTarget.querySelectorAll("button.citation")];
  const at = cards.indexOf(document.activeElement) + by;
  event.preventDefault();
  cards[Math.max(0, Math.min(at, cards.length - 1))]?.focus();
}

/** The source of a citation or a passage: its document, its place and its words. */
function Card({ one, number, onOpen }) {
  const [name, ...folders] = one.document.split("/").reverse();
  return html`
    <li value=${number}>
      <button class="citation" title=${one.document} onClick=${onOpen} ...${previews(sourceOf(one))}>
        <span class="head"><span class="badge">${number}</span> <b class="key">${name}</b>
          ${one.likely && html` <em class="likely">${t("ask.likely")}</em>`}</span>
        <span class="place muted">${[placeOf(one), folders.reverse().join("/")].filter(Boolean).join(" · ")}</span>
        <q>${one.display_quote ?? one.likely ?? one.text}</q>
        ${one.suspicious && html`<em class="warn">${t("answer.suspicious")}</em>`}
      </button>
    </li>`;
}

/** Sources as cards. The arrow keys move among them. */
export function Cards({ sources, class: name = "", onSource }) {
  useEffect(() => hidePreview, []);
  return html`
    <ol class=${`cards-of ${name}`} onKeyDown=${step}>${sources.map((one) => html`
      <${Card} one=${one} number=${one.marker ?? one.number} onOpen=${() => onSource(one, sources)} />`)}</ol>`;
}

function Marker({ citation, onOpen }) {
  const { marker, document } = citation;
  const name = t("answer.marker", { marker, document, place: placeOf(citation) });
  return html`<button class="marker" aria-label=${name} title=${citation.display_quote}
    onClick=${onOpen} ...${previews(sourceOf(citation))}>${citation.marker}</button>`;
}

function why({ support, missing }) {
  if (missing.length) return t("answer.missing", { names: missing.join(", ") });
  return t("answer.weak", { support: decimal(support, 2) });
}

/** Return what an answer took. A model that was not asked, and a cost of nothing, are not named. */
function costWords({ timings_ms: { total }, usage, cost, model }) {
  const tokens = usage.prompt_tokens + usage.completion_tokens;
  return [
    t("answer.seconds", { seconds: decimal(total / 1000, 1) }),
    tokens && t("answer.tokens", { count: tokens }),
    cost.amount && `${decimal(cost.amount, 5)} ${cost.currency}`,
    tokens ? model : t("answer.no_model"),
  ].filter(Boolean).join(" · ");
}

/** The lines of a list, each of which opens its source: cards would say the same again. */
const Rows = ({ rows, onOpen }) => html`
  <ol class="rows" onKeyDown=${step}>${rows.map(({ text, quote, citation }) => html`
    <li>${citation
      ? html`<button class="citation" onClick=${() => onOpen(citation)} ...${previews(sourceOf(citation))}>
          <span class="head"><span class="badge">${citation.marker}</span> <span class="key">${text}</span></span>
          ${quote && html`<q>${quote}</q>`}</button>`
      : text}</li>`)}</ol>`;

/** Why there is no answer, and the text that is nearest to one. */
const Refusal = ({ cause, nearest, children }) => html`
  <div class="refusal"><p class="cause"><${Icon} name="warning" /> <span>${cause}</span></p>${" "}
    ${nearest && html`<p class="muted">${t("refusal.nearest")}</p>${" "}<blockquote class="text">${children}</blockquote>`}
  </div>`;

/** The text of an answer, with its markers as links and its unsupported sentences marked, and its sources. */
export function Answer({ answer, onSource }) {
  const citations = new Map(answer.citations.map((one) => [one.marker, one]));
  const onOpen = (citation) => onSource(citation, answer.citations);
  // A full stop stays in the line of the marker before it.
  const stop = (text) => /^[\p{Po}\p{Pe}\p{Pf}]+/u.exec(text)?.[0] ?? "";
  const part = (one, at, parts) => (typeof one === "number"
    ? html`<span class="unbroken"><${Marker} citation=${citations.get(one)}
        onOpen=${() => onOpen(citations.get(one))} />${stop(parts[at + 1] ?? "")}</span>`
    : one.slice(typeof parts[at - 1] === "number" ? stop(one).length : 0));
  const unsupported = answer.status === "refused" ? [] : answer.sentences.filter((one) => !one.supported);
  // A list says by itself what was searched. Receipts of earlier releases have no cause.
  const isRefusal = answer.refusal && answer.mode !== "list";
  const nearest = answer.sentences.map((one) => one.text).join(" ");
  const { rows, text } = rowsOf(answer);
  // Quotes that are the answer itself are not printed again.
  const isSaid = answer.citations.every((one) => says(isRefusal ? nearest : text, one.display_quote));
  const words = pieces({ ...answer, answer: isRefusal ? nearest : text }).map(({ sentence, parts }) =>
    sentence && unsupported.includes(sentence)
      ? html`<mark title=${why(sentence)}>${parts.map(part)}</mark>` : parts.map(part));
  return html`
    <div class="answer" data-status=${answer.status}>
      <p class="cost muted">${costWords(answer)}</p>
      ${rows.length > 0 && html`<${Rows} rows=${rows} onOpen=${onOpen} />`}
      ${isRefusal
        ? html`<${Refusal} cause=${t(`refusal.${answer.refusal}`)} nearest=${nearest}>${words}<//>`
        : html`<p class="text">${words}</p>`}
      ${unsupported.length > 0 && html`<details class="doubt">
        <summary>${t("answer.unsupported", { count: unsupported.length })}</summary>
        <ul>${unsupported.map((one) => html`<li><em>${one.text}</em> ${why(one)}</li>`)}</ul>
      </details>`}
      ${answer.cut_short && html`<p class="note">${t("answer.cut_short")}</p>`}
      ${answer.dropped_passages > 0 && html`<p class="note">${t("answer.dropped", { count: answer.dropped_passages })}</p>`}
      ${answer.partial && html`<p class="note">${t("answer.partial")}</p>`}
      ${answer.still_indexing > 0 && html`<p class="note">${t("answer.still_indexing", { count: answer.still_indexing })}</p>`}
      ${answer.fallback_reason && html`<p class="note">${t("answer.fallback")}</p>`}
      ${answer.rewritten_question && html`<p class="note">
        ${t("answer.rewritten", { question: answer.rewritten_question })}
      </p>`}
      ${!rows.length && citations.size > 0 && html`
        <h3>${t("answer.sources")}</h3>
        <${Cards} class=${isSaid ? "citations compact" : "citations"} sources=${answer.citations} onSource=${onSource} />`}
    </div>`;
}

/** The verdict on an answer, and a comment on it. Each is sent at once. */
export function Verdict({ id, first = {}, children }) {
  const [verdict, setVerdict] = useState(first.verdict);
  const [said, setSaid] = useState("");
  const comment = useRef();
  const judge = async (chosen, words) => {
    try {
      await call("POST", "/v1/feedback", { request_id: id, verdict: chosen, ...(words && { comment: words }) });
      setVerdict(chosen);
      setSaid(t("answer.thanks"));
    } catch (error) {
      setSaid(errorWords(error));
    }
  };
  const words = () => comment.current?.value.trim();
  const button = (name) => html`
    <button class="bare" aria-pressed=${verdict === name} onClick=${() => judge(name, words())}>
      <${Icon} name=${name} /> <span>${t(`verdict.${name}`)}</span></button>`;
  const submit = (event) => {
    event.preventDefault();
    judge(verdict, words());
  };
  return html`
    <div class="tools">${children} ${button("good")} ${button("bad")} <span role="status">${said}</span></div>
    ${verdict && html`<form class="row comment" onSubmit=${submit}>
      <label>${t("verdict.comment")} <input ref=${comment} maxlength="1000" defaultValue=${first.comment ?? ""} />
      </label>
      <button>${t("verdict.send")}</button>
    </form>`}`;
}

/** What can be done with an answer: copy it, open its receipt, judge it. */
export function AnswerTools({ question, answer }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    const copied = navigator.clipboard.writeText(markdown(question, answer));
    setSaid(await copied.then(() => t("answer.copied"), errorWords));
  };
  return html`
    <${Verdict} id=${answer.request_id}>
      <button class="bare" title=${t("answer.copy_as")} onClick=${copy}>
        <${Icon} name="copy" /> <span>${t("answer.copy")}</span></button>
      <span role="status">${said}</span>
      <a class="bare" href=${`#/receipt/${answer.request_id}`}>
        <${Icon} name="receipt" /> <span>${t("answer.receipt")}</span></a>
    <//>`;
}
