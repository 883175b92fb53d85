// Parts that several views share.
import { html, useRef, useState } from "./vendor/htm-preact.mjs";
import { call } from "./api.js";
import { markdown, pieces, placeOf } from "./answer.js";
import { LANGUAGES, decimal, has, language, t } from "./strings.js";

/** A button for work that goes on: meanwhile it does nothing, and keeps the focus that a disabled one loses. */
export const Work = ({ busy, onClick, class: name, children }) => html`
  <button class=${name} aria-disabled=${busy} onClick=${() => busy || onClick()}>${children}</button>`;

/** Close the menu in which the key Escape is pressed. */
export function closeOnEscape({ key, currentTarget: menu }) {
  if (key !== "Escape") return;
  menu.open = false;
  menu.querySelector("summary").focus();
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

function Marker({ citation, onSource }) {
  const { marker, document } = citation;
  const name = t("answer.marker", { marker, document, place: placeOf(citation) });
  return html`<button class="marker" aria-label=${name} title=${citation.display_quote}
    onClick=${() => onSource(citation)}>${citation.marker}</button>`;
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

/** The text of an answer, with its markers as links and its unsupported sentences marked. */
export function Answer({ answer, onSource }) {
  const citations = new Map(answer.citations.map((one) => [one.marker, one]));
  const part = (one) =>
    typeof one === "number" ? html`<${Marker} citation=${citations.get(one)} onSource=${onSource} />` : one;
  const unsupported = answer.sentences.filter((one) => !one.supported);
  // A list says by itself what was searched. Receipts of earlier releases have no cause.
  const isRefusal = answer.refusal && answer.mode !== "list";
  const nearest = answer.sentences.map((one) => one.text).join(" ");
  const shown = isRefusal ? { ...answer, answer: nearest } : answer;
  const cause = isRefusal && [t(`refusal.${answer.refusal}`), nearest && t("refusal.nearest")].join(" ");
  return html`
    <div class="answer" data-status=${answer.status}>
      <p class="text">${isRefusal && `${cause} `}${pieces(shown).map(({ sentence, parts }) =>
        sentence && !sentence.supported && answer.status !== "refused"
          ? html`<mark title=${why(sentence)}>${parts.map(part)}</mark>`
          : parts.map(part),
      )}</p>
      ${answer.status !== "refused" && unsupported.length > 0 && html`<details class="doubt">
        <summary>${t("answer.unsupported", { count: unsupported.length })}</summary>
        <ul>${unsupported.map((one) => html`<li>“${one.text}” ${why(one)}</li>`)}</ul>
      </details>`}
      ${answer.cut_short && html`<p class="note">${t("answer.cut_short")}</p>`}
      ${answer.dropped_passages > 0 && html`<p class="note">${t("answer.dropped", { count: answer.dropped_passages })}</p>`}
      ${answer.partial && html`<p class="note">${t("answer.partial")}</p>`}
      ${answer.fallback_reason && html`<p class="note">${t("answer.fallback")}</p>`}
      ${answer.rewritten_question && html`<p class="note">
        ${t("answer.rewritten", { question: answer.rewritten_question })}
      </p>`}
      ${answer.citations.length > 0 && html`<ol class="citations">${answer.citations.map((one) => html`
        <li value=${one.marker}>
          <button class="citation" onClick=${() => onSource(one)}>
            <b>${one.document}</b> ${placeOf(one)}
            <q>${one.display_quote}</q>
            ${one.suspicious && html`<em class="warn">${t("answer.suspicious")}</em>`}
          </button>
        </li>`)}</ol>`}
      <p class="cost muted">${costWords(answer)}</p>
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
    <button class="quiet" aria-pressed=${verdict === name} onClick=${() => judge(name, words())}>
      ${t(`verdict.${name}`)}</button>`;
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
      <button class="quiet" onClick=${copy}>${t("answer.copy")}</button>
      <span role="status">${said}</span>
      <a href=${`#/receipt/${answer.request_id}`}>${t("answer.receipt")}</a>
    <//>`;
}
