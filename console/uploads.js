// The files that this tab uploads: a queue that goes on while another view is open. The API gives the forms of a batch
// at once, so that 1,000 files do not cost 1,000 requests; the files go to the bucket, a few at a time.
import { Problem, pauseLeft, sendForm, uploadForms } from "./api.js";

const AT_ONCE = 3;
// Of a batch. The forms end after some minutes: a batch of more bytes could begin too late.
const BATCH_FILES = 10;
const BATCH_BYTES = 32 * 2 ** 20;
// Between two looks of a view at the queue: each event of 1,000 files would freeze the page.
const TICK_MS = 250;
// Errors that the following files would meet too: no answer, an ended key, a quota that is used up.
export const GENERAL = new Set([0, 401, 429]);

/** The files by their keys, as {key, file, before, sent, state, error}; `state` is waiting, sending, sent or failed. */
const files = new Map();
const viewers = new Set();
/** What ends when the file of a key is sent or has failed: the bucket keeps the file that comes last. */
const sending = new Map();
let waiting = [];
let active = 0;
let timer = null;

/** Call `view` after changes, at most each TICK_MS. Return what ends it. */
export function watchUploads(view) {
  viewers.add(view);
  return () => viewers.delete(view);
}

function changed() {
  timer ??= setTimeout(() => {
    timer = null;
    for (const view of viewers) view();
    if (pauseLeft()) changed(); // its seconds count down
  }, TICK_MS);
}

/** Return the file of a key that is not yet in the bucket, if there is one. */
export const uploadOf = (key) => files.get(key);
/** Return the files, those that are sent too. */
export const uploadsNow = () => [...files.values()];

/** Return the files that are sent since the last call of this function. */
export function takeSent() {
  const sent = uploadsNow().filter((one) => one.state === "sent" && !one.taken);
  for (const one of sent) one.taken = true;
  return sent;
}

/** Forget the files that are sent or failed. */
export function forgetUploads() {
  for (const one of uploadsNow()) if (one.state !== "sending" && one.state !== "waiting") files.delete(one.key);
  changed();
}

/** Upload files, as [{key, file, before, refused}]; one with the problem `refused` is not tried. */
export function addUploads(added) {
  if (!active && !uploadsNow().some((one) => one.state === "failed")) {
    for (const one of uploadsNow()) if (one.taken) files.delete(one.key); // the last queue's, that the list has
  }
  for (const one of added) {
    const entry = { sent: 0, state: one.refused ? "failed" : "waiting", error: one.refused, ...one };
    waiting = waiting.filter((before) => before !== files.get(one.key)); // a later file of the same key counts
    files.set(one.key, entry);
    if (!one.refused) waiting.push(entry);
  }
  start();
}

/** Try the failed files again, or that of one key. */
export function retryUploads(key) {
  const again = uploadsNow().filter((one) => one.state === "failed" && !one.refused && (!key || one.key === key));
  for (const one of again) Object.assign(one, { state: "waiting", error: null, sent: 0 });
  waiting.push(...again);
  start();
}

/** Leave out the files that wait, also those of a batch. Those on their way end. */
export function stopUploads() {
  for (const one of uploadsNow()) if (one.state === "waiting") files.delete(one.key);
  waiting = [];
  changed();
}

const warn = (event) => event.preventDefault(); // closing the tab would lose the files that wait

function start() {
  addEventListener("beforeunload", warn);
  // Busy workers have their files already.
  for (let left = waiting.length; active < AT_ONCE && left; left -= 1, active += 1) work();
  changed();
}

async function work() {
  await null; // the caller counts it first
  for (let batch = nextBatch(); batch.length; batch = nextBatch()) await sendBatch(batch);
  active -= 1;
  if (!active) removeEventListener("beforeunload", warn);
  changed();
}

function nextBatch() {
  let [count, bytes] = [0, 0];
  const most = Math.min(BATCH_FILES, Math.ceil(waiting.length / AT_ONCE)); // few files go at once too
  while (count < most && (!count || bytes + waiting[count].file.size <= BATCH_BYTES)) {
    bytes += waiting[count].file.size;
    count += 1;
  }
  return waiting.splice(0, count);
}

async function sendBatch(batch) {
  let forms;
  try {
    forms = await uploadForms(batch);
  } catch (error) {
    if (GENERAL.has(error.status)) return fail([...batch, ...waiting.splice(0)], error);
    if (batch.length === 1) return fail(batch, error);
    for (const one of batch) if (isWanted(one)) await sendBatch([one]); // to know which of them it is
    return;
  }
  for (const [place, one] of batch.entries()) {
    await sending.get(one.key);
    if (!isWanted(one)) continue;
    sending.set(one.key, sendFile(one, forms[place]));
    await sending.get(one.key);
    sending.delete(one.key);
  }
}

/** Return whether a file is neither stopped nor replaced by a later one of its key. */
const isWanted = (one) => files.get(one.key) === one;

async function sendFile(one, form) {
  one.state = "sending";
  const send = (given) => sendForm(given, one.file, (share) => {
    one.sent = share * one.file.size;
    changed();
  });
  try {
    await send(form).catch(async (error) => {
      if (error.status !== 403) throw error;
      const [renewed] = await uploadForms([one]); // the form has expired
      await send(renewed);
    });
    Object.assign(one, { state: "sent", sent: one.file.size });
  } catch (error) {
    fail([one], error);
  }
  changed();
}

function fail(entries, error) {
  for (const one of entries) Object.assign(one, { state: "failed", sent: 0, error });
  changed();
}

/** Return a problem for a file that ingest would reject by its size, undefined without one. */
export function sizeProblem({ size }, most) {
  if (size && size <= most) return undefined;
  return new Problem(400, { detail: size ? "too_large" : "empty_file" });
}
