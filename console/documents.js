// The view of the documents: folders, uploads, statuses and what to do about them, deletions.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { Problem, call, patiently, pathOf, pauseLeft } from "./api.js";
import { chosen, keyOf } from "./files.js";
import { useFollow } from "./follow.js";
import {
  folderAddress, folderWords, inOrder, pathTo, prefixOf, rowsOf, stateOf, statusWords, unreadable,
} from "./folders.js";
import { IconButton } from "./icons.js";
import { Facts, Failure, errorWords, useDrop } from "./parts.js";
import { bytes, date, day, moment, named, t, whole } from "./strings.js";
import {
  GENERAL, addUploads, forgetUploads, retryUploads, sizeProblem, stopUploads, takeSent, uploadOf, uploadsNow, watchUploads,
} from "./uploads.js";

// Rows at first; a button shows more.
const SHOWN = 100;
// Failed files that the uploads name.
const NAMED = 5;
// Deletions at once.
const AT_ONCE = 4;
// Documents that move go to the upload together.
const MOVED = 10;
// The metadata of what `docwell sync` put, which would put it at its old place again.
const SYNCED = "docwell-sync";
// Of documents that are sent to another folder: by the new key, the old one, its version and the file that was sent.
// The old place goes once the new one answers.
const moves = new Map();
// Old keys of documents that are downloaded, or compared with what is stored at the new place.
const held = new Set();
const ORDERS = { name: "field.document", status: "field.status", size: "field.size", date: "field.changed" };

function Details({ one }) {
  const rows = [
    ["document", one.document], ["title", one.title], ["author", one.author],
    ["created", one.created && day(one.created)], ["changed", one.updated_at && moment(one.updated_at)],
    ["pages", one.pages && whole(one.pages)], ["chunks", one.chunks && whole(one.chunks)],
    ["version", one.version], ["live_version", one.live_version !== one.version && one.live_version],
    ["recognised", one.recognised_pages], ["unreadable", unreadable(one.unreadable_pages)], ["detail", one.detail],
    ...Object.entries({ ...one.metadata, ...one.tags }),
  ].filter(([, value]) => value);
  return html`<${Facts} rows=${rows.map(([name, value]) => [named(`field.${name}`), value])} />`;
}

/** What mends a document that is not ready: a button, or what an operator does. */
function Remedy({ one, usage, onRetry, onReplace }) {
  const button = (words, onClick) => html`
    <button aria-label=${`${words}: ${one.document}`} onClick=${onClick}>${words}</button>`;
  const state = stateOf(one);
  if (state === "UNSENT" && !one.upload.refused) return button(t("documents.retry"), () => retryUploads(one.document));
  if (state === "FAILED" && usage.operates) return button(t("documents.retry"), () => onRetry(one));
  if (!["EMPTY", "REJECTED", "FAILED", "UNSENT"].includes(state)) return null;
  const isScan = state === "EMPTY" || one.reason === "unreadable";
  const isUntried = one.recognised_pages == null;
  return html`
    ${isScan && isUntried && usage.ocr && usage.operates && button(t("documents.recognise"), () => onRetry(one))}
    ${isScan && !(isUntried && usage.ocr) && html`<details class="remedy"><summary>${t("documents.recognise")}</summary>
      <p>${t(isUntried ? "documents.recognise_how" : "documents.recognise_tried")}
        ${isUntried && html` <code>docwell ocr on</code>`}</p></details>`}
    ${button(t("documents.replace"), () => onReplace(one.document))}`;
}

function Row({ one, isChosen, onChoose, canWrite, usage, onDelete, onAsk, onSource, onRetry, onReplace }) {
  const [open, setOpen] = useState(false);
  const state = stateOf(one);
  return html`
    <tr data-document=${one.document} data-status=${state}>
      <td class="check">${canWrite && html`<label><input type="checkbox" checked=${isChosen} onChange=${onChoose}
        aria-label=${t("documents.select", one)} /></label>`}</td>
      <th scope="row">
        <button class="name" aria-expanded=${open} title=${one.title} onClick=${() => setOpen(!open)}>${one.name}</button>
        ${open && html`<${Details} one=${one} />`}
      </th>
      <td><span key=${state} class=${`status ${state}`} role=${state === "UNSENT" ? "alert" : undefined}>
          ${statusWords(one)}</span>
        ${one.upload?.state === "sending" && html`
          <progress value=${one.upload.sent} max=${one.upload.file.size} aria-label=${one.document}></progress>`}
        ${canWrite && html`<div class="remedies"><${Remedy} one=${one} usage=${usage} onRetry=${onRetry}
          onReplace=${onReplace} /></div>`}</td>
      <td class="number pages-count">${one.pages == null ? "" : whole(one.pages)}</td>
      <td class="number">${one.size == null ? "" : bytes(one.size)}</td>
      <td class="number" title=${one.updated_at && moment(one.updated_at)}>
        ${one.updated_at ? date(one.updated_at) : ""}</td>
      <td class="actions">
        ${one.live_version && html`
          <button class="quiet" onClick=${() => onAsk(one.document)}>${t("documents.ask")}</button>
          <button class="quiet" onClick=${() => onSource({ document: one.document, page: 1 })}>
            ${t("documents.open")}</button>`}
        ${canWrite && state !== "BUSY" && state !== "UNSENT" && html`
          <button class="quiet danger" aria-label=${t("documents.delete_one", one)} onClick=${() => onDelete([one])}>
            ${t("documents.delete")}</button>`}
      </td>
    </tr>`;
}

function FolderRow({ one, isChosen, onChoose, canWrite }) {
  return html`
    <tr data-folder=${one.folder}>
      <td class="check">${canWrite && html`<label><input type="checkbox" checked=${isChosen} onChange=${onChoose}
        aria-label=${t("documents.select", { document: one.folder })} /></label>`}</td>
      <th scope="row"><a class="name folder" href=${folderAddress(one.folder)}>${one.name}</a></th>
      <td class="muted">${folderWords(one)}</td>
      <td class="number pages-count"></td>
      <td class="number">${one.size ? bytes(one.size) : ""}</td>
      <td class="number">${one.updated_at ? date(one.updated_at) : ""}</td>
      <td class="actions"></td>
    </tr>`;
}

function Confirm({ documents, onYes, onNo }) {
  const dialog = useRef();
  useEffect(() => dialog.current?.showModal(), []);
  // Closed before it is removed, it gives the focus back.
  const close = () => dialog.current.close();
  const count = documents.length;
  return html`
    <dialog ref=${dialog} onClose=${onNo} aria-labelledby="confirm-title">
      <h2 id="confirm-title">${count === 1 ? t("documents.delete_title") : t("documents.delete_titles", { count })}</h2>
      <p>${count === 1 ? t("documents.delete_text", documents[0]) : t("documents.delete_texts")}</p>
      <p class="row"><span class="spring"></span>
        <button class="quiet" onClick=${close} autofocus>${t("documents.keep")}</button>
        <button class="danger-main" onClick=${() => (close(), onYes())}>${t("documents.delete")}</button></p>
    </dialog>`;
}

/** The question into which folder documents move. */
function Move({ documents, onYes, onNo }) {
  const dialog = useRef();
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => dialog.current.close();
  const submit = (event) => {
    event.preventDefault();
    const folder = new FormData(event.target).get("folder").trim();
    close();
    onYes(folder);
  };
  return html`
    <dialog ref=${dialog} onClose=${onNo} aria-labelledby="move-title">
      <h2 id="move-title">${t("documents.move_selected", { count: documents.length })}</h2>
      <p>${t("documents.move_text")}</p>
      <form onSubmit=${submit}>
        <label class="row">${t("documents.into")} <input name="folder" list="folders" required autofocus
          pattern=".*[^\\s\\/].*" /></label>
        <p class="row"><span class="spring"></span>
          <button type="button" class="quiet" onClick=${close}>${t("documents.keep")}</button>
          <button class="main">${t("documents.move")}</button></p>
      </form>
    </dialog>`;
}

/**
 * Return a document's content as a file for another key, and its record. Raises an error for a document that a browser
 * cannot move whole.
 */
async function fileOf(document, key) {
  const record = await patiently(() => call("GET", `${pathOf(document)}?link=true`));
  if (record.metadata?.[SYNCED]) throw new Error(t("documents.move_synced", { document }));
  if (!record.link || record.version !== record.live_version) throw new Error(t("documents.move_unready", { document }));
  const response = await fetch(record.link).catch(() => null);
  if (!response?.ok) throw new Problem(response?.status ?? 0, { detail: "unreachable" });
  const file = new File([await response.blob()], key.split("/").pop(), { type: record.media_type ?? "" });
  return { file, record };
}

/** Return whether a key has a document, or gets one from this tab. The list may be older. */
async function isTaken(key) {
  const there = await patiently(() => call("GET", pathOf(key))).catch((error) => {
    if (error.status !== 404) throw error;
  });
  const upload = uploadOf(key);
  return (there && there.status !== "DELETED") || moves.has(key) || (upload && !upload.taken && upload.state !== "failed");
}

/** Return the S3 tags and metadata of a record as a text to compare: tags can be rights. */
const attributesOf = (record) => JSON.stringify([record.tags, record.metadata].map((pairs) => Object.entries(pairs).sort()));

async function isSame(...files) {
  const [a, b] = await Promise.all(files.map(async (file) => new Uint8Array(await file.arrayBuffer())));
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** The area for files. `target` is the folder that gets them. */
function Drop({ target, folders, onTarget, onFiles, onFailed }) {
  const picked = useRef();
  const pickedFolder = useRef();
  const pick = (event) => {
    onFiles(chosen(event.target.files));
    event.target.value = "";
  };
  return html`
    <div ...${useDrop(onFiles, onFailed)}>
      <p><b>${t("documents.drop")}</b></p>
      <p class="row">
        <button class="main" onClick=${() => picked.current.click()}>${t("documents.choose")}</button>
        <button onClick=${() => pickedFolder.current.click()}>${t("documents.choose_folder")}</button>
        <label>${t("documents.into")} <input list="folders" value=${target}
          onInput=${(event) => onTarget(event.target.value)} /></label>
        <datalist id="folders">${folders.map((name) => html`<option value=${name} />`)}</datalist>
        <input type="file" id="files" multiple hidden ref=${picked} onChange=${pick} />
        <input type="file" webkitdirectory hidden ref=${pickedFolder} onChange=${pick} />
      </p>
    </div>`;
}

/** The progress of the files of this tab, and those that failed. */
function Uploads({ uploads }) {
  const of = (state) => uploads.filter((one) => one.state === state);
  const [failed, sent] = [of("failed"), of("sent")];
  const left = uploads.length - failed.length - sent.length;
  const again = failed.filter((one) => !one.refused).length;
  const total = (list, value) => list.reduce((sum, one) => sum + value(one), 0);
  const size = total(uploads, (one) => one.file.size);
  const done = total(uploads, (one) => (one.state === "failed" ? one.file.size : one.sent));
  if (!uploads.length) return null;
  return html`
    <section class="card uploads" aria-label=${t("uploads.title")}>
      ${left > 0 && html`
        <p>${t("uploads.running", { done: sent.length, count: uploads.length, sent: bytes(done), size: bytes(size) })}</p>
        <progress value=${done} max=${size || 1} aria-label=${t("uploads.title")}></progress>
        ${pauseLeft() > 0 && html`<p class="muted">${t("uploads.paused", { seconds: pauseLeft() })}</p>`}`}
      <p role="status">${!left && sent.length > 0 && t("uploads.done", { count: sent.length })}
        ${" "}${failed.length > 0 && html`<span class="warn">${t("uploads.failed", { count: failed.length })}</span>`}</p>
      ${failed.length > 0 && html`<ul class="counts">${failed.slice(0, NAMED).map((one) => html`
        <li><b>${one.key}</b> ${errorWords(one.error)}</li>`)}</ul>`}
      <p class="row">
        ${again > 0 && html`
          <button onClick=${() => retryUploads()}>${t("uploads.retry", { count: again })}</button>`}
        ${left > 0 && html`<button class="quiet" onClick=${stopUploads}>${t("uploads.stop")}</button>`}
        ${!left && html`<button class="quiet" onClick=${forgetUploads}>${t("uploads.close")}</button>`}</p>
    </section>`;
}

function Crumbs({ prefix }) {
  const path = [{ prefix: "", name: t("documents.all") }, ...pathTo(prefix)];
  return html`<nav class="crumbs" aria-label=${t("documents.folders")}>${path.map((one, at) => html`
    ${at > 0 && html`<span aria-hidden="true"> › </span>`}
    <a href=${folderAddress(one.prefix)} aria-current=${one.prefix === prefix ? "page" : undefined}>${one.name}</a>`)}
  </nav>`;
}

/** The head of a column that sorts; a second click reverses it. */
function Sort({ by, order, onOrder }) {
  const isBy = order.by === by;
  const isUp = (by === "name" || by === "status") !== order.reversed;
  return html`<th class=${by === "size" || by === "date" ? "number" : ""}
      aria-sort=${isBy ? (isUp ? "ascending" : "descending") : undefined}>
    <button class="quiet" onClick=${() => onOrder({ by, reversed: isBy && !order.reversed })}>
      ${t(ORDERS[by])}<span aria-hidden="true">${isBy ? (isUp ? " ↑" : " ↓") : ""}</span></button></th>`;
}

/** Return the documents of the list, and those that this tab uploads, which may be new. */
function withUploads(list) {
  const known = new Set(list.map((one) => one.document));
  const added = uploadsNow().filter((one) => one.state !== "sent" && !known.has(one.key));
  const sending = uploadsNow().filter((one) => one.move && !one.taken && one.state !== "failed");
  const moving = new Set([...held, ...[...moves.values(), ...sending.map((one) => one.move)].map((one) => one.before)]);
  const unsent = (key) => (uploadOf(key)?.state === "sent" ? null : uploadOf(key));
  return [
    ...list.map((one) => ({ ...one, upload: unsent(one.document), moving: moving.has(one.document) })),
    ...added.map((upload) => ({ document: upload.key, status: "PENDING", size: upload.file.size, upload })),
  ];
}

/** Repeat the view after changes of the uploads, and put what is sent into the list. */
function useUploads(setList, onWork) {
  const [, again] = useState(0);
  useEffect(() => {
    const view = () => {
      const taken = takeSent();
      for (const { key, move, file } of taken) {
        if (move) moves.set(key, { ...move, file });
        else moves.delete(key); // another file came after the one that moved
      }
      const sent = new Map(taken.map(({ key, before, file }) => [key, {
        status: "PENDING", pages: null, size: file.size, updated_at: Date.now() / 1000, awaits: before,
      }]));
      if (sent.size) {
        onWork();
        setList((all) => {
          const known = (all ?? []).map((one) => ({ ...one, ...sent.get(one.document) }));
          for (const { document } of known) sent.delete(document);
          return [...known, ...[...sent].map(([document, values]) => ({ document, ...values }))];
        });
      }
      again((count) => count + 1);
    };
    view();
    return watchUploads(view);
  }, []);
}

export function Documents({ list: known, setList, usage, folder, files, setFiles, onAsk, onSource, onUsed, reload }) {
  const list = withUploads(known ?? []);
  const prefix = prefixOf(folder);
  const [words, setWords] = useState("");
  const [order, setOrder] = useState({ by: "name", reversed: false });
  const [most, setMost] = useState(SHOWN);
  const [failure, setFailure] = useState(null);
  const [said, setSaid] = useState("");
  const [target, setTarget] = useState(null);
  const [marked, setMarked] = useState(new Set());
  const [deleting, setDeleting] = useState(null);
  const [moving, setMoving] = useState(null);
  const replaced = useRef();
  const replacement = useRef();
  const change = (document, values) => setList((all) => (all ?? []).flatMap((one) => {
    if (one.document !== document) return [one];
    return values ? [{ ...one, ...values }] : [];
  }));
  const onWork = useFollow(list, change, setFailure);
  useUploads(setList, onWork);
  useEffect(() => {
    setMost(SHOWN);
    setTarget(null);
    setMarked(new Set());
  }, [prefix]);

  const mayWrite = (key) => {
    const [first, ...rest] = key.split("/");
    return !usage.writable || usage.writable.includes(rest.length && first ? first : "default");
  };
  const canUpload = !usage.writable || usage.writable.length > 0;
  const here = prefix.slice(0, -1);
  const into = target?.trim() || (here && mayWrite(prefix) ? here : (usage.writable ?? ["default"])[0]) || "default";
  const add = (files) => {
    const versions = new Map(list.map((one) => [one.document, one.version ?? "new"]));
    addUploads(files.map(({ file, key, move }) => ({
      file, key, move, before: versions.get(key) ?? "new", refused: sizeProblem(file, usage.max_upload_bytes),
    })));
    onUsed();
  };
  const take = (files) => {
    setFailure(null);
    add(files.map(({ file, path }) => ({ file, key: keyOf(into, path) })));
    const place = into === "default" && files.every(({ path }) => !path.includes("/")) ? "" : `${into}/`;
    if (!prefix.startsWith(place) || (!prefix && place)) location.hash = folderAddress(place);
  };
  useEffect(() => {
    if (!known || !files.length) return; // the files that were dropped in another view
    take(files);
    setFiles([]);
  }, [known, files]);
  const replace = (event) => {
    const [file] = event.target.files;
    setFailure(null);
    if (file) add([{ file, key: replaced.current }]);
    event.target.value = "";
  };
  const remove = async (documents) => {
    setDeleting(null);
    setMarked(new Set());
    document.getElementById("documents-title").focus(); // the row's button goes
    const left = [...documents];
    const next = async () => {
      for (let one = left.shift(); one; one = left.shift()) {
        try {
          await patiently(() => call("DELETE", pathOf(one.document)));
          moves.delete(one.document);
          change(one.document, { deleting: true, awaits: "deletion" });
        } catch (error) {
          setFailure(error);
          if (GENERAL.has(error.status)) left.splice(0);
        }
        setSaid(left.length ? t("documents.deleting", { done: documents.length - left.length, count: documents.length }) : "");
      }
    };
    onWork();
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    onUsed();
  };
  const move = async (documents, folder) => {
    for (const { document: before } of documents) held.add(before);
    setMarked(new Set());
    setFailure(null);
    document.getElementById("documents-title").focus();
    let files = [];
    const flush = () => {
      if (files.length) add(files);
      for (const one of files) held.delete(one.move.before);
      files = [];
    };
    for (const { document: before } of documents) {
      const key = keyOf(folder, before.slice(prefix.length));
      try {
        const isDouble = files.some((one) => one.key === key) || await isTaken(key);
        if (isDouble) throw new Error(t("documents.move_exists", { document: key }));
        const { file, record } = await fileOf(before, key);
        files.push({ file, key, move: { before, version: record.version } });
      } catch (error) {
        held.delete(before);
        setFailure(error);
        if (GENERAL.has(error.status)) break;
      }
      if (files.length === MOVED) flush();
    }
    flush();
    for (const { document: before } of documents) held.delete(before); // those after a general error
  };
  /** Delete a moved document at its old place, unless one of the two places has another content, tags or metadata. */
  const leave = async (key, { before, version, file }) => {
    held.add(before);
    try {
      const stored = await fileOf(key, key);
      if (!await isSame(file, stored.file)) throw new Error(t("documents.move_changed", { document: key }));
      const now = await patiently(() => call("GET", pathOf(before)));
      if (now.version !== version || attributesOf(now) !== attributesOf(stored.record)) throw new Error(t("documents.move_changed", { document: before }));
      await patiently(() => call("DELETE", pathOf(before)));
      change(before, { deleting: true, awaits: "deletion" });
      onWork();
    } catch (error) {
      setFailure(error);
    }
    held.delete(before);
  };
  useEffect(() => {
    for (const { document: key, status, awaits } of known ?? []) {
      const moved = !awaits && status !== "PENDING" && moves.get(key);
      if (!moved) continue;
      moves.delete(key);
      if (status === "INDEXED") leave(key, moved);
      else change(moved.before, {}); // no longer moves: the new place says why it does not answer
    }
  }, [known]);
  const retry = async (one) => {
    try {
      const only = one.status === "FAILED" ? "" : `?document=${encodeURIComponent(one.document)}`;
      const { redriven } = await call("POST", `/v1/operations/redrive${only}`);
      setSaid(t(redriven ? "documents.retried" : "documents.nothing_waits", { count: redriven }));
      if (redriven) change(one.document, { status: "PENDING", reason: null, detail: null, pages: null, awaits: "reading" });
      onWork();
    } catch (error) {
      setFailure(error);
    }
    onUsed();
  };
  const rows = inOrder(rowsOf(list, prefix, words.trim()), order);
  const documentsOf = (row) => (row.folder ? row.documents : [row]).filter((one) =>
    mayWrite(one.document) && !["BUSY", "UNSENT"].includes(stateOf(one)));
  const choices = new Map(rows.map((row) => [row.folder ?? row.document, documentsOf(row)]));
  const selected = [...marked].flatMap((key) => choices.get(key) ?? []);
  const isAll = rows.length > 0 && rows.every((row) => marked.has(row.folder ?? row.document));
  const mark = (key) => setMarked((now) => {
    const next = new Set(now);
    if (!next.delete(key)) next.add(key);
    return next;
  });
  const shared = { usage, onDelete: setDeleting, onAsk, onSource, onRetry: retry, onReplace: (key) => {
    replaced.current = key;
    replacement.current.click();
  } };
  const folders = [...new Set([...usage.writable ?? [], ...list.flatMap((one) =>
    pathTo(one.document).map((path) => path.prefix.slice(0, -1)))])].filter((name) => mayWrite(`${name}/`)).sort();
  const nothing = words ? "documents.no_match" : prefix ? "documents.folder_empty" : "documents.none";
  return html`
    <section class="page documents-view" aria-labelledby="documents-title">
      <h1 id="documents-title" tabindex="-1">${t("nav.documents")}</h1>
      ${canUpload ? html`<${Drop} target=${target ?? into} folders=${folders} onTarget=${setTarget} onFiles=${take}
        onFailed=${setFailure} />` : html`<p class="note">${t("documents.read_only")}</p>`}
      <input type="file" hidden ref=${replacement} onChange=${replace} />
      <${Uploads} uploads=${uploadsNow()} />
      <${Failure} error=${failure} />
      ${known && list.length > 0 && html`
        <${Crumbs} prefix=${prefix} />
        <div class="row filters">
          <label><input type="search" value=${words} aria-label=${t("documents.find")} placeholder=${t("documents.find")}
            onInput=${(event) => setWords(event.target.value)} /></label>
          <label class="sort">${t("documents.sort")} <select value=${order.by}
            onChange=${(event) => setOrder({ by: event.target.value, reversed: false })}>
            ${Object.entries(ORDERS).map(([by, name]) => html`<option value=${by}>${t(name)}</option>`)}</select></label>
          <span class="muted" role="status">${said || t("documents.count", {
            shown: rows.reduce((sum, row) => sum + (row.documents?.length ?? 1), 0), count: list.length })}</span>
          <span class="spring"></span>
          ${canUpload && html`
            <button disabled=${!selected.length} onClick=${() => setMoving(selected)}
              aria-label=${t("documents.move_selected", { count: selected.length })}>${t("documents.move")}</button>
            <button class="danger" disabled=${!selected.length} onClick=${() => setDeleting(selected)}
              aria-label=${t("documents.delete_selected", { count: selected.length })}>${t("documents.delete")}</button>
            <${IconButton} icon="close" label=${t("documents.clear")} disabled=${!marked.size}
              onClick=${() => setMarked(new Set())} />`}
          <button class="quiet" onClick=${reload}>${t("documents.reload")}</button>
        </div>`}
      ${rows.length > 0 && html`<div class="wide"><table class="documents">
        <thead><tr><th class="check">${canUpload && html`<label><input type="checkbox" checked=${isAll}
            aria-label=${t("documents.select_all")} onChange=${() =>
              setMarked(isAll ? new Set() : new Set(choices.keys()))} /></label>`}</th>
          <${Sort} by="name" order=${order} onOrder=${setOrder} />
          <${Sort} by="status" order=${order} onOrder=${setOrder} />
          <th class="number pages-count">${t("field.pages")}</th>
          <${Sort} by="size" order=${order} onOrder=${setOrder} />
          <${Sort} by="date" order=${order} onOrder=${setOrder} />
          <th class="actions">${t("field.actions")}</th></tr></thead>
        <tbody>${rows.slice(0, most).map((row) => {
          const key = row.folder ?? row.document;
          const choice = { one: row, isChosen: marked.has(key), onChoose: () => mark(key) };
          return row.folder
            ? html`<${FolderRow} key=${key} ...${choice} canWrite=${choices.get(key).length > 0} />`
            : html`<${Row} key=${key} ...${choice} ...${shared} canWrite=${mayWrite(key)} />`;
        })}</tbody>
      </table></div>`}
      ${known && !rows.length && html`<p class="empty">${t(nothing)}</p>`}
      ${rows.length > most && html`
        <button onClick=${() => setMost(most + SHOWN)}>${t("documents.more")}</button>`}
      ${moving && html`<${Move} documents=${moving} onYes=${(into) => move(moving, into)} onNo=${() => setMoving(null)} />`}
      ${deleting && html`<${Confirm} documents=${deleting} onYes=${() => remove(deleting)}
        onNo=${() => setDeleting(null)} />`}
    </section>`;
}
