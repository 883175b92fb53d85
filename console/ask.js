// The view in which a person asks, and reads the answer as it comes.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { ask } from "./api.js";
import { history, says, uncited } from "./answer.js";
import { DAYS, draft, exported, isRunning, keepDraft, nameOf } from "./conversations.js";
import { Chips, Filter, scopeOf } from "./filters.js";
import { Icon, IconButton } from "./icons.js";
import { Answer, AnswerTools, Cards, Failure } from "./parts.js";
import { isSignedIn } from "./sign-in.js";
import { Start } from "./start.js";
import { date, t } from "./strings.js";

// The refusals whose passages were searched and read in full.
const LOOKED = ["nothing_near", "not_in_documents", "other_language"];

function lookedThrough(turn) {
  const documents = [...new Set(turn.passages.map((one) => one.document))];
  const named = turn.collections.length ? turn.collections.join(", ") : t("ask.everything");
  const where = turn.isFiltered ? t("ask.filtered", { where: named }) : named;
  if (!documents.length) return t("ask.looked_nothing", { where });
  return t("ask.looked", { where, count: turn.passages.length, documents: documents.join(", ") });
}

function statusOf(turn) {
  if (!turn || turn.failure || turn.stopped) return "";
  if (turn.answer) return t(turn.answer.status === "refused" ? "ask.refused" : "ask.answered");
  if (turn.waking) return t("ask.waking");
  if (turn.text) return t("ask.writing");
  return turn.passages.length ? t("ask.reading") : t("ask.searching");
}

/** What goes on, and for how many seconds. */
function Waiting({ turn }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = String(Math.max(0, Math.floor((now - turn.at) / 1000)));
  return html`<p class="cost muted" aria-hidden="true">
    <span class="dots"></span> <span class="seconds">${t("answer.seconds", { seconds })}</span>
    <span key=${statusOf(turn)}>${statusOf(turn)}</span>
  </p>`;
}

/** The passages that a search has, with their count. */
const Candidates = ({ passages, onSource }) => html`
  <section class="candidates"><h3>${t("ask.passages", { count: passages.length })}</h3>
    <${Cards} class="passages" sources=${passages} onSource=${onSource} /></section>`;

/** A question with its answer, and its candidates, which are above the form while the answer comes. */
function Turn({ turn, onSource }) {
  const { question, answer, passages, text, failure, stopped, withdrawn } = turn;
  const hasLooked = LOOKED.includes(answer?.refusal) && answer.mode !== "list";
  const likely = passages.find((one) => one.likely);
  const others = answer ? uncited(passages, answer) : [];
  const count = others.length;
  const isTold = withdrawn && answer?.refusal !== "not_verified"; // whose sentence tells it
  const here = useRef();
  useEffect(() => here.current.scrollIntoView({ block: "start" }), []);
  return html`
    <article class="turn" ref=${here}>
      <h2 class="question">${question}</h2>
      <div class="reply">
        ${isRunning(turn) && html`<${Waiting} turn=${turn} />`}
        ${!answer && text && html`<p class="text">${text}</p>`}
        ${!answer && !text && likely && html`<figure class="guess">
          <figcaption>${t("ask.likely_why")}</figcaption><blockquote>${likely.likely}</blockquote></figure>`}
        ${answer && html`<${Answer} answer=${answer} onSource=${onSource} />`}
        ${isTold && html`<p class="note withdrawn">${t("ask.withdrawn")}</p>`}
        ${hasLooked && html`<p class="note looked">${lookedThrough(turn)}</p>`}
        ${answer && html`<${AnswerTools} question=${question} answer=${answer} />`}
        <${Failure} error=${failure} />
        ${stopped && html`<p class="note">${t("ask.stopped")}</p>`}
      </div>
      ${!answer && !isRunning(turn) && passages.length > 0 && html`<${Candidates} ...${{ passages, onSource }} />`}
      ${count > 0 && html`<details class="passages"><summary>${t("ask.others", { count })}</summary>
        <${Cards} sources=${others} onSource=${onSource} /></details>`}
    </article>`;
}

/** The conversations of this caller, beside the open one or, where that has no room, over it. */
function Conversations({ talks, isOpen, onClose, onStart }) {
  const { talk, all, load } = talks;
  const here = useRef();
  useEffect(() => isOpen && here.current.querySelector("button").focus(), [isOpen]);
  const leave = ({ currentTarget: list, relatedTarget }) => {
    if (isOpen && !list.contains(relatedTarget) && !relatedTarget?.matches(".toggle")) onClose(false);
  };
  return html`
    <nav id="talks" ref=${here} class=${isOpen ? "talks open" : "talks"} aria-label=${t("talks.label")} onFocusOut=${leave}
      onKeyDown=${({ key }) => key === "Escape" && isOpen && onClose(true)}>
      <button class="new" onClick=${onStart}><${Icon} name="add" /> ${t("ask.new")}</button>
      <ul>${all.map(({ id, name, at }) => html`
        <li><button aria-current=${id === talk.id ? "true" : undefined} title=${name}
          onClick=${() => (load(id), onClose(false))}>${name} <small class="muted">${date(at / 1000)}</small></button></li>`)}</ul>
      <p class="muted">${t("talks.kept", { count: DAYS, leave: t(isSignedIn() ? "nav.sign_out" : "nav.leave") })}</p>
    </nav>`;
}

function save({ name, turns }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([exported({ name, turns })], { type: "text/markdown" }));
  link.download = `${name.replace(/[^\p{L}\p{N} -]/gu, "").trim() || "docwell"}.md`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** The name of the open conversation, and what can be done with it. */
function Bar({ talks, isOpen, onToggle, onRemoved }) {
  const { talk, rename, remove } = talks;
  const [doing, setDoing] = useState("");
  const bar = useRef();
  useEffect(() => setDoing(""), [talk.id]);
  useEffect(() => doing && bar.current.querySelector("[autofocus]").focus(), [doing]);
  const done = () => {
    setDoing("");
    bar.current.querySelector(".toggle").focus();
  };
  const submit = (event) => {
    event.preventDefault();
    rename(new FormData(event.target).get("name"));
    done();
  };
  // The question above its answer says it once.
  const isNamed = talk.turns.length > 1 || talk.name !== nameOf(talk.turns);
  const tools = () => html`
    <span class="title name-of">${isNamed && talk.name}</span>
    <${IconButton} icon="rename" label=${t("talks.rename")} onClick=${() => setDoing("rename")} />
    <${IconButton} icon="save" label=${t("talks.export")} onClick=${() => save(talk)} />
    <${IconButton} icon="remove" label=${t("talks.delete")} onClick=${() => setDoing("remove")} />`;
  const renaming = () => html`
    <form onSubmit=${submit}>
      <input name="name" aria-label=${t("talks.name")} defaultValue=${talk.name} maxlength="80" autofocus />
      <button class="main">${t("talks.save")}</button>
    </form>`;
  const removing = () => html`
    <span class="title" role="alert">${t("talks.delete_text")}</span>
    <button class="danger-main" onClick=${() => (remove(), onRemoved())}>${t("talks.yes")}</button>
    <button autofocus onClick=${done}>${t("talks.no")}</button>`;
  const parts = { rename: renaming, remove: removing };
  return html`
    <div class="talk-bar" ref=${bar} onKeyDown=${({ key }) => key === "Escape" && doing && done()}>
      <button type="button" class="bare tip toggle" aria-label=${t("talks.label")} data-tip=${t("talks.label")}
        aria-expanded=${isOpen} aria-controls="talks" onClick=${onToggle}><${Icon} name="talks" /></button>
      ${talk.turns.length > 0 && (parts[doing] ?? tools)()}
    </div>`;
}

export function Ask({ talks, list, collections, writes, onFiles, onFailed, onSource, onUsed }) {
  const { talk, setTurns, setFilter } = talks;
  const { turns, filter } = talk;
  const [question, setQuestion] = useState(draft);
  const [running, setRunning] = useState(null);
  const [isOpen, setOpen] = useState(false);
  const field = useRef();
  const last = turns.at(-1);
  useEffect(() => field.current?.focus(), []);
  useEffect(() => keepDraft(question), [question]);
  useEffect(() => () => running?.abort(), [running, talk.id]);
  // Only a focus that is lost, as with a button that went: the reader of a source keeps theirs.
  useEffect(() => {
    const { activeElement: now } = document;
    if (!running && (now === document.body || now.disabled)) field.current?.focus();
  }, [running, turns.length, filter.document]);
  useEffect(() => setQuestion((now) => now || draft()), [talk.id]);

  const change = (values) =>
    setTurns(talk.id, (now) => {
      const turn = now.at(-1);
      return [...now.slice(0, -1), { ...turn, ...(typeof values === "function" ? values(turn) : values) }];
    });

  const send = async (asked, scope = scopeOf(filter)) => {
    if (!asked || running) return;
    const stop = new AbortController();
    const body = { question: asked, history: history(turns), ...scope };
    setRunning(stop);
    setQuestion("");
    const collections = body.document ? [body.document] : (body.collections ?? []);
    const turn = { question: asked, collections, isFiltered: Boolean(body.filter), passages: [], text: "", at: Date.now() };
    setTurns(talk.id, (now) => [...now, turn]);
    const handlers = {
      // The words of a first try, such as an overview, do not come back.
      passages: ({ passages }) => (now) => ({ passages, text: "", waking: false, withdrawn: Boolean(now.text) }),
      waking: () => ({ waking: true }),
      token: ({ text }) => (now) => ({ text: now.text + text }),
      answer: (answer) => (now) => ({
        answer, text: "", withdrawn: Boolean(now.withdrawn) || !says(answer.answer, now.text) }),
    };
    try {
      for await (const [name, data] of ask(body, stop.signal)) if (handlers[name]) change(handlers[name](data));
    } catch (error) {
      setQuestion((now) => now || asked); // to ask it again
      const { message, requestId } = error;
      change(stop.signal.aborted ? { stopped: true } : { failure: { message, requestId } });
    }
    setRunning(null);
    onUsed();
  };
  const submit = (event) => {
    event.preventDefault();
    send(question.trim());
  };
  const onStop = (event) => {
    event.preventDefault(); // it becomes the button that sends the next question before the click ends
    if (event.detail < 2) running.abort(); // the second click of a double one on "Ask" is not meant for it
  };
  const onKey = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
    if (event.key === "Escape") running?.abort();
  };
  const focus = () => field.current?.focus();
  const start = () => {
    talks.start();
    setOpen(false);
    focus();
  };
  const close = (isBack) => {
    setOpen(false);
    if (isBack) document.querySelector(".talk-bar .toggle").focus();
  };
  return html`
    <section class="ask" aria-label=${t("nav.ask")}>
      <h1 class="hidden">${t("nav.ask")}</h1>
      <${Conversations} talks=${talks} isOpen=${isOpen} onClose=${close} onStart=${start} />
      <div class="talk">
        <${Bar} talks=${talks} isOpen=${isOpen} onToggle=${() => setOpen(!isOpen)} onRemoved=${focus} />
        <div class="turns" key=${talk.id}>
          ${!turns.length && !list && html`<p class="empty">${t("loading")}</p>`}
          ${!turns.length && list && html`<${Start} ...${{ list, collections, writes, onFiles, onFailed }}
            onAsk=${(...example) => (focus(), send(...example))}
            onCollection=${(name) => (setFilter({ collections: [name] }), focus())} />`}
          ${turns.map((turn) => html`<${Turn} turn=${turn} onSource=${onSource} />`)}
        </div>
        ${last && isRunning(last) && last.passages.length > 0 && html`
          <${Candidates} passages=${last.passages} onSource=${onSource} />`}
        <form class="composer" onSubmit=${submit}>
          <p class="hidden" role="status">${statusOf(last)}</p>
          <${Chips} filter=${filter} setFilter=${setFilter} onRemoved=${focus} />
          <div class="box">
            <label class="hidden" for="question">${t("ask.question")}</label>
            <textarea id="question" rows="1" ref=${field} placeholder=${t("ask.placeholder")} value=${question}
              onInput=${(event) => setQuestion(event.target.value)} onKeyDown=${onKey}></textarea>
            <${Filter} filter=${filter} setFilter=${setFilter} collections=${collections} />
            ${running
              ? html`<button key="stop" type="button" class="send" onClick=${onStop}>
                  <${Icon} name="stop" /> ${t("ask.stop")}</button>`
              : html`<button key="ask" class="main send" disabled=${!question.trim()}>
                  <${Icon} name="ask" /> ${t("ask.send")}</button>`}
          </div>
        </form>
      </div>
    </section>`;
}
