// The view in which a person asks, and reads the answer as it comes.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { ask } from "./api.js";
import { history, placeOf } from "./answer.js";
import { Filters, filterOf } from "./filters.js";
import { Answer, AnswerTools, Failure, closeOnEscape } from "./parts.js";
import { t } from "./strings.js";

// The refusals whose passages were searched and read in full.
const LOOKED = ["nothing_near", "not_in_documents", "other_language"];
const MODES = ["auto", "passages", "overview", "compare", "list"];

function Passages({ passages, open, onSource }) {
  return html`
    <details class="passages" open=${open}>
      <summary>${t("ask.passages", { count: passages.length })}</summary>
      <ol>${passages.map((one) => html`
        <li value=${one.number}>
          <button class="citation" onClick=${() => onSource(one)}>
            <b>${one.document}</b> ${placeOf(one)}
            <q>${one.likely ?? one.text}</q>
            ${one.suspicious && html`<em class="warn">${t("answer.suspicious")}</em>`}
          </button>
        </li>`)}</ol>
    </details>`;
}

function lookedThrough(turn) {
  const documents = [...new Set(turn.passages.map((one) => one.document))];
  const named = turn.collections.length ? turn.collections.join(", ") : t("ask.everything");
  const where = turn.isFiltered ? t("ask.filtered", { where: named }) : named;
  if (!documents.length) return t("ask.looked_nothing", { where });
  return t("ask.looked", { where, count: turn.passages.length, documents: documents.join(", ") });
}

function Turn({ turn, last, onSource }) {
  const { question, answer, passages, text, failure, stopped } = turn;
  const hasLooked = LOOKED.includes(answer?.refusal) && answer.mode !== "list";
  const written = failure || stopped ? "text" : "text streaming";
  return html`
    <article class="turn">
      <h2 class="question">${question}</h2>
      ${!answer && text && html`<p class=${written}>${text}</p>`}
      ${answer && html`<${Answer} answer=${answer} onSource=${onSource} />`}
      ${hasLooked && html`<p class="note looked">${lookedThrough(turn)}</p>`}
      ${answer && html`<${AnswerTools} question=${question} answer=${answer} />`}
      <${Failure} error=${failure} />
      ${stopped && html`<p class="note">${t("ask.stopped")}</p>`}
      ${passages.length > 0 && html`
        <${Passages} passages=${passages} open=${last && !answer} onSource=${onSource} />`}
    </article>`;
}

function Choice({ collections, isEmpty, chosen, setChosen }) {
  const toggle = (name) => () =>
    setChosen(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);
  return html`
    <details class="choice" onKeyDown=${closeOnEscape}>
      <summary>${chosen.length ? chosen.join(", ") : t("ask.everything")}</summary>
      <fieldset>
        <legend>${t("ask.collections")}</legend>
        ${collections.map((name) => html`<label>
          <input type="checkbox" checked=${chosen.includes(name)} onChange=${toggle(name)} /> ${name}
        </label>`)}
        ${isEmpty && t("ask.no_collections")}
      </fieldset>
    </details>`;
}

function statusOf(turn) {
  if (!turn || turn.failure || turn.stopped) return "";
  if (turn.answer) return t(turn.answer.status === "refused" ? "ask.refused" : "ask.answered");
  if (turn.waking) return t("ask.waking");
  if (turn.text) return t("ask.writing");
  return turn.passages.length ? t("ask.reading") : t("ask.searching");
}

export function Ask({ turns, setTurns, collections, isEmpty, about, setAbout, onSource, onUsed }) {
  const [question, setQuestion] = useState("");
  const [chosen, setChosen] = useState([]);
  const [fields, setFields] = useState({});
  const [mode, setMode] = useState("auto");
  const [running, setRunning] = useState(null);
  const field = useRef();
  const end = useRef();
  const last = turns.at(-1);
  useEffect(() => field.current?.focus(), []);
  useEffect(() => end.current?.scrollIntoView({ block: "nearest" }), [turns.length, Boolean(last?.answer)]);
  useEffect(() => () => running?.abort(), [running]);
  // Only a focus that is lost, as with a button that went: the reader of a source keeps theirs.
  useEffect(() => {
    const { activeElement: now } = document;
    if (!running && (now === document.body || now.disabled)) field.current?.focus();
  }, [running, turns.length, about]);

  const change = (values) =>
    setTurns((now) => {
      const turn = now.at(-1);
      return [...now.slice(0, -1), { ...turn, ...(typeof values === "function" ? values(turn) : values) }];
    });

  const submit = async (event) => {
    event.preventDefault();
    const asked = question.trim();
    if (!asked || running) return;
    const stop = new AbortController();
    const before = history(turns);
    setRunning(stop);
    setQuestion("");
    const body = { question: asked, mode, history: before };
    if (about) body.document = about;
    else {
      body.filter = filterOf(fields);
      if (chosen.length) body.collections = chosen;
    }
    const where = { collections: about ? [about] : chosen, isFiltered: Boolean(body.filter) };
    setTurns((now) => [...now, { question: asked, ...where, passages: [], text: "" }]);
    try {
      for await (const [name, data] of ask(body, stop.signal)) {
        if (name === "passages") change({ passages: data.passages, text: "", waking: false });
        if (name === "waking") change({ waking: true });
        if (name === "token") change((turn) => ({ text: turn.text + data.text }));
        if (name === "answer") change({ answer: data });
      }
    } catch (error) {
      setQuestion((now) => now || asked); // to ask it again
      change(stop.signal.aborted ? { stopped: true } : { failure: error });
    }
    setRunning(null);
    onUsed();
  };
  const onStop = (event) => {
    event.preventDefault(); // it becomes the button that sends the next question before the click ends
    if (event.detail < 2) running.abort(); // the second click of a double one on "Ask" is not meant for it
  };
  const onKey = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
    if (event.key === "Escape") running?.abort();
  };
  return html`
    <section class="ask" aria-label=${t("nav.ask")}>
      <h1 class="hidden">${t("nav.ask")}</h1>
      <div class="turns">
        ${!turns.length && html`<p class="empty">
          ${t(isEmpty ? "ask.upload_first" : "ask.empty")}</p>`}
        ${turns.map((turn) => html`<${Turn} turn=${turn} last=${turn === last} onSource=${onSource} />`)}
        <div ref=${end}></div>
      </div>
      <form onSubmit=${submit}>
        <p class="state" role="status">${statusOf(last)}</p>
        ${about && html`<p class="chip">${t("ask.about", { document: about })}
          <button type="button" class="quiet" aria-label=${t("ask.about_all")}
            onClick=${() => setAbout(null)}>✕</button>
        </p>`}
        <label class="hidden" for="question">${t("ask.question")}</label>
        <textarea id="question" rows="2" ref=${field} placeholder=${t("ask.placeholder")} value=${question}
          onInput=${(event) => setQuestion(event.target.value)} onKeyDown=${onKey}></textarea>
        <div class="row">
          ${!about && html`<${Choice} ...${{ collections, isEmpty, chosen, setChosen }} />
            <${Filters} fields=${fields} setFields=${setFields} />`}
          <label>${t("ask.mode")} <select value=${mode} onChange=${(event) => setMode(event.target.value)}>
            ${MODES.map((one) => html`<option value=${one}>${t(`mode.${one}`)}</option>`)}
          </select></label>
          <span class="spring"></span>
          ${turns.length > 0 && !running && html`<button type="button" class="quiet" onClick=${() => setTurns([])}>
            ${t("ask.new")}</button>`}
          ${running
            ? html`<button type="button" onClick=${onStop}>${t("ask.stop")}</button>`
            : html`<button class="main" disabled=${!question.trim()}>${t("ask.send")}</button>`}
        </div>
      </form>
    </section>`;
}
