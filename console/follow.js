// The statuses of documents that are being read: looked at one by one, because a list is charged as a request.
import { useEffect, useRef } from "./vendor/htm-preact.mjs";
import { call, pathOf, pauseLeft } from "./api.js";
import { isWorking } from "./folders.js";

// The wait between two looks at documents that are being read. It grows while nothing changes: ingest of a long
// document takes minutes, and each look calls a function. Long polling would cost more.
const POLL_MS = 1000;
const MOST_POLL_MS = 10_000;
const GROWTH = 1.5;
// Documents of one look, at once. The usage plan takes 10 requests at once.
const POLLED = 5;

/** Return the documents to look at in one turn; the next turn begins at the following ones. */
function nextOf(working, turn) {
  const first = turn % working.length || 0;
  return [...working.slice(first), ...working.slice(0, first)].slice(0, POLLED);
}

/** Read one document's status, and change its row. Return what shows that work goes on. */
async function look({ document, awaits, updated_at: before }, change, fail) {
  try {
    const found = await call("GET", pathOf(document));
    const again = awaits === "reading" ? found.updated_at !== before : found.version !== awaits;
    const seen = awaits === "deletion" ? found.status === "DELETED" : again;
    if (found.status === "DELETED" && awaits !== "new") change(document, null);
    else if (found.status !== "DELETED" && (!awaits || seen)) change(document, { ...found, awaits: null, deleting: false });
    return [found.status, found.version, found.pages_done].join();
  } catch (error) {
    if (error.status === 404 && awaits === "deletion") change(document, null);
    else if (error.status !== 404) fail(error);
    return "";
  }
}

/** Look at the working documents of `list` while the view is open. Return what to call after new work. */
export function useFollow(list, change, setFailure) {
  const pace = useRef({ at: 0, wait: POLL_MS });
  const latest = useRef(list);
  latest.current = list;
  useEffect(() => {
    let left = false;
    let turn = 0;
    const before = new Map();
    const poll = async () => {
      const working = nextOf(latest.current.filter(isWorking), turn);
      const { current } = pace;
      if (working.length && Date.now() >= current.at && !document.hidden && !pauseLeft()) {
        const failed = [];
        const looks = await Promise.all(working.map((one) => look(one, change, (error) => failed.push(error))));
        const moved = working.some(({ document: key }, place) => before.get(key) !== looks[place]);
        working.forEach(({ document: key }, place) => before.set(key, looks[place]));
        turn += POLLED;
        const pause = moved ? POLL_MS : Math.min(MOST_POLL_MS, GROWTH * current.wait);
        const pauses = failed.map((error) => 1000 * (error.retryAfter ?? 0));
        const wait = Math.max(pause, working.length * POLL_MS, ...pauses);
        if (pace.current === current) pace.current = { at: Date.now() + wait, wait }; // else there is new work
        // An answer clears the message that the server does not answer.
        setFailure((now) => failed[0] ?? (now?.status === 0 ? null : now));
      }
      if (!left) setTimeout(poll, POLL_MS);
    };
    poll();
    return () => {
      left = true;
    };
  }, []);
  return () => {
    pace.current = { at: 0, wait: POLL_MS };
  };
}
