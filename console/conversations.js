// The conversations of a caller. They are in this browser alone, each as an entry of the local storage, and end with
// the sign-out.
import { useCallback, useEffect, useState } from "./vendor/htm-preact.mjs";
import { markdown } from "./answer.js";

const PREFIX = "docwell.conversation.";
// The open conversation, and the question that is being written, of this tab.
const OPEN = "docwell.open";
const DRAFT = "docwell.draft";
// The last caller of this tab, whom a sign-out after an error does not know otherwise.
const OWNER = "docwell.owner";
// Of all callers. A browser stores 5 MB for a page, and an answer with its passages takes about 20 KB.
const MOST = 50;
export const DAYS = 30;
const LONGEST_NAME = 80;
const NO_FILTER = { collections: [], fields: {}, mode: "auto", document: null };

const started = () => ({ id: crypto.randomUUID?.() ?? String(Date.now()), name: "", turns: [], filter: NO_FILTER });
const prefixOf = (owner) => `${PREFIX}${encodeURIComponent(owner)}/`;
const keysOf = (prefix) => Object.keys(localStorage).filter((key) => key.startsWith(prefix));
export const isRunning = (turn) => Boolean(turn && !turn.answer && !turn.failure && !turn.stopped);

/** Return the conversations under a prefix by their keys, the last one first. One that cannot be read is removed. */
function stored(prefix) {
  const found = [];
  for (const key of keysOf(prefix)) {
    try {
      found.push({ key, ...JSON.parse(localStorage.getItem(key)) });
    } catch {
      localStorage.removeItem(key);
    }
  }
  return found.sort((a, b) => b.at - a.at);
}

/** Store a conversation. The oldest ones make room. */
function keep(owner, { key: _, ...talk }) {
  if (isOver) return undefined;
  const key = prefixOf(owner) + talk.id;
  const text = JSON.stringify({ ...talk, at: talk.turns.at(-1).at });
  const others = stored(PREFIX).filter((one) => one.key !== key);
  for (const one of others.splice(MOST - 1)) localStorage.removeItem(one.key);
  for (;;) {
    try {
      return localStorage.setItem(key, text);
    } catch {
      if (!others.length) return undefined; // it stays until the tab closes
      localStorage.removeItem(others.pop().key);
    }
  }
}

/** Forget what this tab has open: the next caller is another one. */
export function closeConversation() {
  for (const key of [OPEN, DRAFT]) sessionStorage.removeItem(key);
}

let isOver = false;

/** Remove the conversations of the caller who signs out. An answer that still comes is not kept. */
export function forgetConversations() {
  isOver = true;
  const owner = sessionStorage.getItem(OWNER);
  sessionStorage.removeItem(OWNER);
  for (const key of owner ? keysOf(prefixOf(owner)) : []) localStorage.removeItem(key);
  closeConversation();
}

/** Return the name that a conversation has from its first question. */
export const nameOf = ([first]) => (first?.question ?? "").slice(0, LONGEST_NAME);

const cites = ({ answer, passages }) => [...(answer?.citations ?? []), ...passages].map((one) => one.document);

/** Remove the turns with words of documents that are deleted, or that the caller may not read any more. */
function withoutGone(owner, list) {
  const there = new Set(list.filter((one) => one.status !== "DELETED").map((one) => one.document));
  for (const talk of stored(prefixOf(owner))) {
    const turns = talk.turns.filter((turn) => cites(turn).every((document) => there.has(document)));
    if (!turns.length) localStorage.removeItem(talk.key);
    else if (turns.length < talk.turns.length) localStorage.setItem(talk.key, JSON.stringify({ ...talk, turns }));
  }
}

/** Return a conversation as it was stored, null where it is not. A question that a reload cut off has stopped, and can be sent again. */
function restored(owner, id) {
  const found = stored(prefixOf(owner)).find((one) => one.id === id);
  if (!found) return null;
  const turns = found.turns.map((turn) => (isRunning(turn) ? { ...turn, stopped: true } : turn));
  const last = turns.at(-1);
  if (isRunning(found.turns.at(-1))) sessionStorage.setItem(DRAFT, sessionStorage.getItem(DRAFT) || last.question);
  return { ...found, turns };
}

export const draft = () => sessionStorage.getItem(DRAFT) ?? "";
export const keepDraft = (text) => (text ? sessionStorage.setItem(DRAFT, text) : sessionStorage.removeItem(DRAFT));

/** Return a conversation as a file of Markdown, with the place and the quote of each citation. */
export function exported({ name, turns }) {
  const parts = turns.filter((turn) => turn.answer).map(({ question, answer }) => markdown(question, answer));
  return [`# ${name}`, ...parts].join("\n\n");
}

/** Return the open conversation of `owner`, all of them, and what changes them. `list` has the documents. */
export function useConversations(owner, list) {
  const [talk, setTalk] = useState(started);
  const [all, setAll] = useState([]);
  const refresh = useCallback(() => owner && setAll(stored(prefixOf(owner))), [owner]);
  const load = (id) => {
    sessionStorage.setItem(OPEN, id);
    setTalk(restored(owner, id) ?? started());
  };
  useEffect(() => {
    if (owner && !isOver) sessionStorage.setItem(OWNER, owner);
    if (!owner || !list) return;
    for (const one of stored(PREFIX)) {
      if (one.at < Date.now() - DAYS * 86_400_000) localStorage.removeItem(one.key);
    }
    withoutGone(owner, list);
    refresh();
    // A question may be asked before the list is there.
    const open = restored(owner, sessionStorage.getItem(OPEN));
    setTalk((now) => (now.turns.length ? now : (open ?? now)));
  }, [owner, Boolean(list)]);
  useEffect(() => {
    addEventListener("storage", refresh); // another tab has changed them
    return () => removeEventListener("storage", refresh);
  }, [refresh]);
  const last = talk.turns.at(-1);
  useEffect(() => {
    if (!owner || !last) return;
    sessionStorage.setItem(OPEN, talk.id);
    keep(owner, talk);
    refresh();
  }, [owner, talk.id, talk.name, talk.turns.length, last?.passages.length, isRunning(last)]);

  return {
    talk,
    all,
    load,
    start: () => load(""),
    // Of the conversation `id`: an answer may come when another one is open.
    setTurns: (id, change) => setTalk((now) => {
      if (now.id !== id) return now;
      const turns = change(now.turns);
      return { ...now, turns, name: now.name || nameOf(turns) };
    }),
    setFilter: (values) => setTalk((now) => ({ ...now, filter: { ...now.filter, ...values } })),
    rename: (name) => setTalk((now) => ({ ...now, name: name.trim().slice(0, LONGEST_NAME) || now.name })),
    remove: () => {
      localStorage.removeItem(prefixOf(owner) + talk.id);
      load("");
      refresh();
    },
  };
}
