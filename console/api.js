// Calls of the API. The key is in the session storage alone: it ends with the tab.
import { accessToken, forgetTokens, hasSignIn, isSignedIn } from "./sign-in.js";

const STORED = "docwell.key";
// The digest of the last key of this browser.
const LAST = "docwell.last-key";
// The longest page of a listing that the API gives.
const PAGE = 1000;
// A stream has a comment each second. A network that is lost without notice, as in a moving train, has none.
const SILENT_MS = 60_000;
// The firewall asks for a minute, the gateway for a second.
const LONGEST_WAIT_S = 120;
// A part that does not answer for longer is down.
const BUSY_TRIES = 5;

/**
 * Take the key, or the key for a code, from an address such as /#key=...&view=/documents, and leave only the view in the address and the
 * history. Return a key that is not taken but offered, null without one: anybody can write a link with their own key,
 * and would get the reader's uploads. A key is taken where no caller worked before: neither in this tab, nor in this
 * browser with another key, nor by a sign-in.
 */
export async function takeKey() {
  const address = new URLSearchParams(location.hash.slice(1));
  const code = address.get("code");
  let given = address.get("key");
  if (!given && !code) return null;
  history.replaceState(null, "", `${location.pathname}#${address.get("view") ?? "/ask"}`);
  given ??= await exchange(code);
  if (!given || given === sessionStorage.getItem(STORED)) return null;
  const last = localStorage.getItem(LAST);
  if (hasKey() || hasSignIn || (last && last !== (await digest(given)))) return given;
  await setKey(given);
  return null;
}

/** Return the key for a code of `docwell open`, null where the code is used or too old. */
async function exchange(code) {
  const response = await fetch("/-/code", { method: "POST", headers: { "x-docwell-code": code } }).catch(() => null);
  return response?.ok ? (await response.json()).key : null;
}

/** Return the SHA-256 of a key, by which this browser knows it again. */
async function digest(key) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key)));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const hasKey = () => Boolean(sessionStorage.getItem(STORED)) || isSignedIn();
/** Keep a key without the blanks and signs that no key has, and that a copy may bring along. */
export async function setKey(key) {
  const clean = key.replace(/[^!-~]/g, "");
  sessionStorage.setItem(STORED, clean);
  localStorage.setItem(LAST, await digest(clean));
}

/** Forget the key, and the tokens of a sign-in. */
export function forgetKey() {
  sessionStorage.removeItem(STORED);
  forgetTokens();
}

/** Return the headers that name the caller. A key counts before a sign-in. */
async function credentials() {
  const key = sessionStorage.getItem(STORED);
  const token = key ? null : await accessToken();
  return token ? { authorization: `Bearer ${token}` } : { "x-api-key": key ?? "" };
}

/** An error with a problem document (RFC 9457). `status` is 0 where no server answers. */
export class Problem extends Error {
  constructor(status, document = {}) {
    super([document.title, document.detail].filter(Boolean).join(": ") || `HTTP ${status}`);
    this.status = status;
    this.retryAfter = Number(document.retryAfter) || 0;
    this.requestId = document.request_id;
  }
}

let unknown = () => {};

/** Set what gets each error of a caller that the server does not know, such as one whose key has ended. */
export function onUnknown(callback) {
  unknown = callback;
}

async function send(...request) {
  try {
    return await answered(...request);
  } catch (error) {
    if (error.status === 401) unknown(error);
    throw error;
  }
}

async function answered(method, path, body, signal, accept) {
  const headers = await credentials();
  if (body) headers["content-type"] = "application/json";
  if (accept) headers.accept = accept;
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "unreachable" });
  }
  if (!response.ok) {
    const retryAfter = response.headers.get("retry-after");
    throw new Problem(response.status, { ...(await response.json().catch(() => ({}))), retryAfter });
  }
  return response;
}

/** Call the API and return its JSON. Raises `Problem`. */
export async function call(method, path, body, signal) {
  return (await send(method, path, body, signal)).json();
}

export const pathOf = (document) => `/v1/documents/${encodeURIComponent(document)}`;

/** Return the indexed text of a page (1-based). Raises `Problem`. */
export async function pageText(document, page) {
  const uri = `docwell://documents/${encodeURIComponent(document)}/pages/${page}`;
  const request = { jsonrpc: "2.0", id: 1, method: "resources/read", params: { uri } };
  const { result, error } = await call("POST", "/v1/mcp", request);
  if (error) throw new Problem(404, { detail: error.message });
  return result.contents[0].text;
}

/** Return all documents that the caller may see. */
export async function documents() {
  const found = [];
  let cursor = "";
  do {
    const page = await call("GET", `/v1/documents?limit=${PAGE}${cursor && `&cursor=${cursor}`}`);
    found.push(...page.documents);
    cursor = page.cursor ?? "";
  } while (cursor);
  return found;
}

/** Ask a question; yield [event, data] of its stream. Raises `Problem`, also for a stream that is cut off. */
export async function* ask(body, signal) {
  const response = await send("POST", "/v1/query", { ...body, stream: true }, signal, "text/event-stream");
  let text = "";
  let ended = false;
  for await (const piece of decoded(response.body)) {
    text += piece;
    const events = text.split("\n\n");
    text = events.pop();
    for (const [event, data] of events.map(parsed)) {
      if (event === "error") throw new Problem(data.status, data);
      ended ||= event === "answer";
      yield [event, data];
    }
  }
  if (!ended) throw new Problem(0, { detail: "cut_off" });
}

async function* decoded(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { value, done } = await inTime(reader.read());
      if (done) return;
      yield value.replaceAll("\r", "");
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    reader.cancel().catch(() => null);
    throw new Problem(0, { detail: "cut_off" });
  }
}

/** Return what a promise gives. Raises an error where that takes longer than a living stream is silent. */
function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("silent")), SILENT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function parsed(event) {
  const lines = event.split("\n").map((line) => line.match(/^(\w+): ?(.*)$/)).filter(Boolean);
  const of = (name) => lines.filter((one) => one[1] === name).map((one) => one[2]).join("\n");
  return [of("event"), JSON.parse(of("data") || "{}")];
}

let pausedUntil = 0;

/** Return the seconds for which the server has asked to send nothing. */
export const pauseLeft = () => Math.max(0, Math.ceil((pausedUntil - Date.now()) / 1000));

/** Return the seconds after which to repeat a call, 0 for an error that a wait does not mend. */
function waitFor({ status, retryAfter }, tries) {
  // A quota of a day is not waited for.
  if (status === 429) return retryAfter <= LONGEST_WAIT_S ? retryAfter : 0;
  if (status !== 503 || tries >= BUSY_TRIES) return 0;
  return Math.min(retryAfter || 2 ** tries, LONGEST_WAIT_S); // S3 names no time
}

/** Repeat a call that comes too often after the time that the server names. All such calls wait for that time. */
export async function patiently(request) {
  for (let tries = 0; ; tries += 1) {
    while (Date.now() < pausedUntil) await new Promise((resolve) => setTimeout(resolve, pausedUntil - Date.now()));
    try {
      return await request();
    } catch (error) {
      const seconds = waitFor(error, tries);
      if (!seconds) throw error;
      pausedUntil = Math.max(pausedUntil, Date.now() + seconds * 1000);
    }
  }
}

/**
 * Return the forms that upload files to keys, given as [{key, file, move}], at most 25. A file that moves takes the S3
 * tags and metadata of its old place along. Raises `Problem`.
 */
export async function uploadForms(uploads) {
  const files = uploads.map(({ key, file, move }) => {
    const type = file.type.split(";")[0].trim().toLowerCase();
    const source = move && { attributes_of: move.before };
    return { document: key, size: file.size, ...(type && { content_type: type }), ...source };
  });
  return (await patiently(() => call("POST", "/v1/uploads", { files }))).forms;
}

/** Upload a file by a form. `progress` gets the share that is sent, 0 to 1. Raises `Problem`. */
export function sendForm({ url, fields }, file, progress) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  data.append("file", file);
  const send = () => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch reports no progress of an upload
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onload = () => (request.status < 300 ? resolve() : reject(new Problem(request.status)));
    request.onerror = () => reject(new Problem(0, { detail: "unreachable" }));
    request.open("POST", url);
    request.send(data);
  });
  return patiently(send);
}
