// The view of the documents: upload, follow, filter, delete.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { Problem, call, pathOf, upload } from "./api.js";
import { dropped, keyOf } from "./files.js";
import { Failure, errorWords } from "./parts.js";
import { bytes, day, has, named, percent, t, whole } from "./strings.js";

// The wait between two looks at documents that are being read. It grows while nothing changes: ingest of a long
// document takes minutes, and each look calls a function. Long polling would cost more.
const POLL_MS = 1000;
const MOST_POLL_MS = 10_000;
const GROWTH = 1.5;
// Documents of one look, at once. The usage plan takes 10 requests at once, and the firewall 600 in 300 s.
const POLLED = 5;
const SHOWN = 100;
const AT_ONCE = 2;
const FINAL = new Set(["INDEXED", "EMPTY", "REJECTED", "FAILED", "DELETED"]);

/** Return the words for a document's status, and what to do about it. */
function statusWords(one) {
  if (one.unsent) return `${t("status.UNSENT")}: ${errorWords(one.unsent)}`;
  if (one.uploading !== undefined) return t("status.uploading", { share: percent(one.uploading) });
  if (one.deleting) return t("status.deleting");
  if (one.status === "PENDING") {
    return one.pages ? t("status.pages", { done: one.pages_done, count: one.pages }) : t("status.PENDING");
  }
  const reason = one.reason && has(`reason.${one.reason}`) ? t(`reason.${one.reason}`) : one.detail;
  return [t(`status.${one.status}`), reason].filter(Boolean).join(": ");
}

const isWorking = (one) =>
  one.uploading === undefined && one.status !== "UNSENT" && (one.awaits || !FINAL.has(one.status));

/** Return the reason for which ingest would reject a file by its size, null without one. */
function sizeReason({ size }, { max_upload_bytes: most }) {
  if (!size) return "empty_file";
  return size > most ? "too_large" : null;
}

/** Return the documents to look at in one turn; the next turn begins at the following ones. */
export function nextOf(working, turn) {
  const first = turn % working.length || 0;
  return [...working.slice(first), ...working.slice(0, first)].slice(0, POLLED);
}

/** Read one document's status, and change its row. Return what shows that work goes on. */
async function look({ document, awaits }, change, fail) {
  try {
    const found = await call("GET", pathOf(document));
    const seen = awaits === "deletion" ? found.status === "DELETED" : found.version !== awaits;
    if (found.status === "DELETED") change(document, null);
    else if (!awaits || seen) change(document, { ...found, awaits: null, deleting: false });
    return [found.status, found.version, found.pages_done].join();
  } catch (error) {
    if (error.status === 404 && awaits === "deletion") change(document, null);
    else if (error.status !== 404) fail(error);
    return "";
  }
}

const unreadable = (pages) =>
  Object.entries(pages).map(([reason, listed]) => `${listed}: ${named(`reason.${reason}`)}`).join("; ");

function Details({ one }) {
  const rows = [
    ["title", one.title], ["author", one.author], ["created", one.created && day(one.created)],
    ["chunks", one.chunks && whole(one.chunks)],
    ["size", one.size == null ? "" : bytes(one.size)],
    ["version", one.version], ["live_version", one.live_version],
    ["unreadable", unreadable(one.unreadable_pages ?? {})],
    ...Object.entries({ ...one.metadata, ...one.tags }),
  ].filter(([, value]) => value);
  return html`<dl class="facts">${rows.map(([name, value]) => html`
    <div><dt>${has(`field.${name}`) ? t(`field.${name}`) : name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Row({ one, canDelete, onDelete, onAsk, onSource }) {
  const [open, setOpen] = useState(false);
  const busy = one.uploading !== undefined || one.deleting;
  const status = one.unsent ? "UNSENT" : one.status;
  return html`
    <tr data-document=${one.document} data-status=${busy ? "BUSY" : status}>
      <th scope="row">
        <button class="name" aria-expanded=${open} onClick=${() => setOpen(!open)}>${one.document}</button>
        ${open && html`<${Details} one=${one} />`}
      </th>
      <td><span key=${status} class=${`status ${busy ? "PENDING" : status}`}
          role=${one.unsent ? "alert" : undefined}>${statusWords(one)}</span>
        ${one.uploading !== undefined && html`
          <progress value=${one.uploading} aria-label=${one.document}></progress>`}</td>
      <td class="number">${one.pages == null ? "" : whole(one.pages)}</td>
      <td class="actions">
        ${one.live_version && html`
          <button class="quiet" onClick=${() => onAsk(one.document)}>${t("documents.ask")}</button>
          <button class="quiet" onClick=${() => onSource({ document: one.document, page: 1 })}>
            ${t("documents.open")}</button>`}
        ${canDelete && !busy && one.status !== "UNSENT" && html`
          <button class="quiet danger" aria-label=${t("documents.delete_one", one)} onClick=${() => onDelete(one)}>
            ${t("documents.delete")}</button>`}
      </td>
    </tr>`;
}

function Confirm({ one, onYes, onNo }) {
  const dialog = useRef();
  useEffect(() => dialog.current?.showModal(), []);
  // Closed before it is removed, it gives the focus back.
  const close = () => dialog.current.close();
  return html`
    <dialog ref=${dialog} onClose=${onNo} aria-labelledby="confirm-title">
      <h2 id="confirm-title">${t("documents.delete_title")}</h2>
      <p>${t("documents.delete_text", one)}</p>
      <p class="row"><span class="spring"></span>
        <button class="quiet" onClick=${close} autofocus>${t("documents.keep")}</button>
        <button class="danger-main" onClick=${() => (close(), onYes())}>${t("documents.delete")}</button></p>
    </dialog>`;
}

function Drop({ usage, collections, onFiles, onFailed }) {
  const writable = usage.writable ?? collections;
  const [collection, setCollection] = useState("");
  const [over, setOver] = useState(false);
  const picked = useRef();
  const target = collection || writable[0] || "default";
  if (usage.writable && !usage.writable.length) return html`<p class="note">${t("documents.read_only")}</p>`;
  const take = (files) => onFiles(files, target);
  const drop = async (event) => {
    event.preventDefault();
    setOver(false);
    await dropped(event.dataTransfer).then(take, onFailed);
  };
  return html`
    <div class=${over ? "drop over" : "drop"} onDrop=${drop} onDragLeave=${() => setOver(false)}
      onDragOver=${(event) => (event.preventDefault(), setOver(true))}>
      <p><b>${t("documents.drop")}</b></p>
      <p class="row">
        <label>${t("documents.into")} <input list="collections" value=${collection} placeholder=${target}
          onInput=${(event) => setCollection(event.target.value.trim().replaceAll("/", ""))} /></label>
        <datalist id="collections">${writable.map((name) => html`<option value=${name} />`)}</datalist>
        <button class="main" onClick=${() => picked.current.click()}>${t("documents.choose")}</button>
        <input type="file" multiple hidden ref=${picked} onChange=${(event) => {
          take([...event.target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
          event.target.value = "";
        }} />
      </p>
    </div>`;
}

export function Documents({ list, isEmpty, setList, usage, collections, onAsk, onSource, onUsed, reload }) {
  const [words, setWords] = useState("");
  const [collection, setCollection] = useState("");
  const [most, setMost] = useState(SHOWN);
  const [failure, setFailure] = useState(null);
  const [deleting, setDeleting] = useState(null);
  const pace = useRef({ at: 0, wait: POLL_MS });
  // Rows stay in their places; a new one is the first.
  const change = (document, values) => {
    if (values?.awaits) pace.current = { at: 0, wait: POLL_MS }; // work that the caller has just given
    setList((all) => {
      const now = all ?? [];
      if (!values) return now.filter((one) => one.document !== document);
      const known = now.some((one) => one.document === document);
      if (!known) return [{ document, status: "PENDING", ...values }, ...now];
      return now.map((one) => (one.document === document ? { ...one, ...values } : one));
    });
  };

  const latest = useRef(list);
  latest.current = list;
  useEffect(() => {
    let left = false;
    let turn = 0;
    const before = new Map();
    const poll = async () => {
      const working = nextOf(latest.current.filter(isWorking), turn);
      const { current } = pace;
      if (working.length && Date.now() >= current.at && !document.hidden) {
        const failed = [];
        const looks = await Promise.all(working.map((one) => look(one, change, (error) => failed.push(error))));
        const moved = working.some(({ document: key }, place) => before.get(key) !== looks[place]);
        working.forEach(({ document: key }, place) => before.set(key, looks[place]));
        turn += POLLED;
        const pause = moved ? POLL_MS : Math.min(MOST_POLL_MS, GROWTH * current.wait);
        const wait = Math.max(pause, working.length * POLL_MS);
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

  const take = async (files, into) => {
    setFailure(null);
    const waiting = files.map(({ file, path }) => ({ file, key: keyOf(into, path) }));
    const before = new Map(list.map((one) => [one.document, one.version ?? "new"]));
    for (const { key } of waiting) change(key, { uploading: 0, unsent: null });
    const next = async () => {
      for (let one = waiting.shift(); one; one = waiting.shift()) {
        const { file, key } = one;
        try {
          const reason = sizeReason(file, usage);
          if (reason) throw new Problem(400, { detail: reason });
          await upload(file, key, (share) => change(key, { uploading: share }));
          change(key, { uploading: undefined, status: "PENDING", pages: null, awaits: before.get(key) ?? "new" });
        } catch (error) {
          // In the row: the person may be in another view, and see the list later.
          change(key, { uploading: undefined, unsent: error, ...(!before.has(key) && { status: "UNSENT" }) });
        }
      }
    };
    const warn = (event) => event.preventDefault(); // closing the tab would lose the files that wait
    addEventListener("beforeunload", warn);
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    removeEventListener("beforeunload", warn);
    onUsed();
  };
  const remove = async (one) => {
    setDeleting(null);
    document.getElementById("documents-title").focus(); // the row's button goes
    try {
      await call("DELETE", pathOf(one.document));
      change(one.document, { deleting: true, awaits: "deletion" });
    } catch (error) {
      setFailure(error);
    }
    onUsed();
  };
  // Some systems write é as two characters.
  const fold = (text) => text.normalize().toLowerCase();
  const found = list.filter((one) =>
    (!collection || one.document.startsWith(`${collection}/`) || one.collection === collection)
    && fold([one.document, one.title, one.status, statusWords(one)].join(" ")).includes(fold(words)));
  const mayDelete = (one) => !usage.writable || usage.writable.includes(one.collection);
  return html`
    <section class="page" aria-labelledby="documents-title">
      <h1 id="documents-title" tabindex="-1">${t("nav.documents")}</h1>
      <${Drop} usage=${usage} collections=${collections} onFiles=${take} onFailed=${setFailure} />
      <${Failure} error=${failure} />
      <p class="row filters">
        <label>${t("documents.find")} <input type="search" value=${words}
          onInput=${(event) => setWords(event.target.value)} /></label>
        <label>${t("documents.collection")} <select value=${collection}
          onChange=${(event) => setCollection(event.target.value)}>
          <option value="">${t("all")}</option>
          ${collections.map((name) => html`<option value=${name}>${name}</option>`)}
        </select></label>
        <span class="muted" role="status">
          ${t("documents.count", { shown: found.length, count: list.length })}</span>
        <button class="quiet" onClick=${reload}>${t("documents.reload")}</button>
      </p>
      ${found.length > 0 && html`<div class="wide"><table class="documents">
        <thead><tr><th>${t("field.document")}</th><th>${t("field.status")}</th>
          <th class="number">${t("field.pages")}</th><th>${t("field.actions")}</th></tr></thead>
        <tbody>${found.slice(0, most).map((one) => html`<${Row} key=${one.document} one=${one}
          canDelete=${mayDelete(one)} onDelete=${setDeleting} onAsk=${onAsk} onSource=${onSource} />`)}</tbody>
      </table></div>`}
      ${isEmpty && html`<p class="empty">${t("documents.none")}</p>`}
      ${found.length > most && html`
        <button onClick=${() => setMost(most + SHOWN)}>${t("documents.more")}</button>`}
      ${deleting && html`<${Confirm} one=${deleting} onYes=${() => remove(deleting)}
        onNo=${() => setDeleting(null)} />`}
    </section>`;
}
