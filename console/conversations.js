// The conversations of a caller. They are in this browser alone, each as an entry of the local storage, and end with
// the sign-out.
import { useEffect, useState } from "./vendor/htm-preact.mjs";
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

/** Return the conversation of a key, null without one. One that cannot be read is removed. */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    localStorage.removeItem(key);
    return null;
  }
}

const newestFirst = (talks) => talks.sort((a, b) => b.at - a.at);
/** Return the conversations under a prefix, the last one first. Each takes time to read. */
const stored = (prefix) => newestFirst(keysOf(prefix).map((key) => ({ ...read(key), key })).filter((one) => one.id));

/** Store a conversation. The oldest ones make room. */
function keep(key, talk) {
  if (isOver) return;
  const text = JSON.stringify(talk);
  for (let others = null; ; localStorage.removeItem(others.pop().key)) {
    try {
      localStorage.setItem(key, text);
      if (keysOf(PREFIX).length <= MOST) return;
    } catch {} // the storage is full
    others ??= stored(PREFIX).filter((one) => one.key !== key);
    if (!others.length) return; // it stays until the tab closes
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

/**
 * Remove old conversations, and turns with words of documents that are deleted, or that the caller may not read any
 * more. Return the caller's conversations that stay.
 */
function tidied(owner, list) {
  const there = new Set(list.filter((one) => one.status !== "DELETED").map((one) => one.document));
  const isThere = (turn) => cites(turn).every((document) => there.has(document));
  return stored(PREFIX).flatMap(({ key, ...talk }) => {
    const isOwn = key.startsWith(prefixOf(owner));
    const turns = isOwn ? talk.turns.filter(isThere) : talk.turns;
    const isKept = turns.length > 0 && talk.at > Date.now() - DAYS * 86_400_000;
    if (!isKept) localStorage.removeItem(key);
    else if (turns.length < talk.turns.length) localStorage.setItem(key, JSON.stringify({ ...talk, turns }));
    return isKept && isOwn ? [{ ...talk, turns }] : [];
  });
}

/**
 * Return a conversation as it was stored, null where it is not. A question that a reload cut off has stopped, and can
 * be sent again.
 */
function restored(owner, id) {
  const found = id && read(prefixOf(owner) + id);
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
  const load = (id) => {
    sessionStorage.setItem(OPEN, id);
    setTalk(restored(owner, id) ?? started());
  };
  useEffect(() => {
    if (owner && !isOver) sessionStorage.setItem(OWNER, owner);
    if (!owner || !list) return;
    setAll(tidied(owner, list));
    // A question may be asked before the list is there.
    setTalk((now) => (now.turns.length ? now : (restored(owner, sessionStorage.getItem(OPEN)) ?? now)));
  }, [owner, Boolean(list)]);
  useEffect(() => {
    // Another tab has changed them.
    const refresh = ({ key }) => owner && (!key || key.startsWith(PREFIX)) && setAll(stored(prefixOf(owner)));
    addEventListener("storage", refresh);
    return () => removeEventListener("storage", refresh);
  }, [owner]);
  const last = talk.turns.at(-1);
  useEffect(() => {
    if (!owner || !last) return;
    sessionStorage.setItem(OPEN, talk.id);
    const now = { ...talk, at: last.at };
    keep(prefixOf(owner) + talk.id, now);
    const isStored = ({ id }) => prefixOf(owner) + id in localStorage; // an old one may have made room
    setAll((all) => newestFirst([now, ...all.filter((one) => one.id !== talk.id)]).filter(isStored));
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
      setAll(all.filter((one) => one.id !== talk.id));
      load("");
    },
  };
}
