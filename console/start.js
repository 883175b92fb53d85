// The start page: what is indexed, questions to begin with, and the way to more documents.
import { html } from "./vendor/htm-preact.mjs";
import { Icon } from "./icons.js";
import { useDrop } from "./parts.js";
import { t, whole } from "./strings.js";

const LONGEST_TITLE = 70;
// A word of a title that is worth a question is no article or preposition.
const SHORTEST_WORD = 5;
const UNREAD = ["EMPTY", "REJECTED", "FAILED"];

/** Return a document's title, or its file's name. */
function titleOf({ document, title }) {
  const name = document.split("/").pop();
  return title && title.length <= LONGEST_TITLE ? title : name;
}

/** Return the longest word of a document's title without the words of `known`, undefined without a long one. */
function wordOf(document, known = "") {
  const words = titleOf(document).replace(/\.\w+$/, "").match(/\p{L}+/gu) ?? [];
  const isWorth = (word) => word.length >= SHORTEST_WORD && !known.toLowerCase().includes(word.toLowerCase());
  return words.filter(isWorth).sort((a, b) => b.length - a.length)[0];
}

/**
 * Return questions about documents of several collections, made from titles without a model, as [{question, scope}].
 * The scope says how each is answered: the server knows a mode by its words, in fewer languages than the page has.
 */
export function examples(list) {
  const ready = list.filter((one) => one.live_version);
  const titled = ready.sort((a, b) => Boolean(b.title) - Boolean(a.title) || b.pages - a.pages);
  const firsts = titled.filter((one, at) => titled.findIndex((some) => some.collection === one.collection) === at);
  const [first, second = first, ...rest] = [...new Set([...firsts, ...titled])];
  if (!first) return [];
  const questions = [
    { question: t("start.about", { title: titleOf(first) }), scope: { mode: "overview", document: first.document } },
  ];
  // A file's name, such as README.md, has words that its text lacks.
  const listed = wordOf([second, ...rest, first].find((one) => one.title) ?? second);
  if (listed) questions.push({ question: t("start.mention", { word: listed }), scope: { mode: "list" } });
  // A document says little about the words of its name.
  const third = [...rest, second, first].find((one) => wordOf(one, one.document));
  if (third) {
    const values = { title: third.document.split("/").pop(), word: wordOf(third, third.document) };
    questions.push({ question: t("start.say", values), scope: { document: third.document } });
  }
  return questions;
}

const Drop = ({ isEmpty, onFiles, onFailed }) => html`
  <a href="#/documents" ...${useDrop(onFiles, onFailed)}>
    <${Icon} name="upload" /> <span>${t(isEmpty ? "start.first" : "start.drop")}</span></a>`;

/** `onAsk` gets a question and its scope; `onCollection` the one to search; `onFiles` the files of a drop. */
export function Start({ list, collections, writes, onAsk, onCollection, onFiles, onFailed }) {
  const ready = list.filter((one) => one.live_version);
  const count = (statuses) => list.filter((one) => statuses.includes(one.status)).length;
  const pages = ready.reduce((sum, one) => sum + (one.pages ?? 0), 0);
  const [working, unread] = [count(["PENDING"]), count(UNREAD)];
  const questions = examples(list);
  return html`
    <div class="start">
      <h2>${t("start.title")}</h2>
      <p class="muted">${list.length ? t("ask.empty") : t("ask.no_collections")}</p>
      ${list.length > 0 && html`<p class="indexed">
        <b>${t("start.documents", { count: ready.length })}</b> <span>${t("start.pages", { count: pages })}</span>
        ${working > 0 && html` <a href="#/documents">${t("start.working", { count: working })}</a>`}
        ${unread > 0 && html` <a class="warn" href="#/documents">${t("start.unread", { count: unread })}</a>`}</p>`}
      ${collections.length > 1 && html`<ul class="chips" aria-label=${t("ask.collections")}>
        ${collections.map((name) => html`<li><button class="chip" onClick=${() => onCollection(name)}>
          ${name} <span class="muted">${whole(ready.filter((one) => one.collection === name).length)}</span>
        </button></li>`)}</ul>`}
      ${questions.length > 0 && html`<h3>${t("start.examples")}</h3>
        <ul class="examples">${questions.map(({ question, scope }) => html`
          <li><button onClick=${() => onAsk(question, scope)}>${question}</button></li>`)}</ul>`}
      ${writes && html`<${Drop} isEmpty=${!list.length} onFiles=${onFiles} onFailed=${onFailed} />`}
    </div>`;
}
