// The documents of a folder: its rows, their order, and the words for their statuses. Pure: no element is made here.
import { errorWords } from "./parts.js";
import { comparison, has, named, percent, t, whole } from "./strings.js";

const FINAL = new Set(["INDEXED", "EMPTY", "REJECTED", "FAILED", "DELETED"]);
// Some systems write é as two characters.
const fold = (text) => text.normalize().toLowerCase();

/** Return the address of a folder's view. `prefix` is "" for all documents, else it ends with a slash. */
export const folderAddress = (prefix) => `#/documents/${prefix.split("/").map(encodeURIComponent).join("/")}`;

/** Return the prefix of the folder that the rest of such an address names. */
export function prefixOf(id) {
  const prefix = id.split("/").map(decoded).join("/");
  return prefix && !prefix.endsWith("/") ? `${prefix}/` : prefix;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Return the folders above and at a prefix as [{prefix, name}], the widest first. */
export function pathTo(prefix) {
  const names = prefix.split("/").slice(0, -1);
  return names.map((name, at) => ({ prefix: `${names.slice(0, at + 1).join("/")}/`, name: name || "/" }));
}

/** Return the state that a document is shown with: its status, or BUSY or UNSENT while this tab works on it. */
export function stateOf({ upload, deleting, moving, status }) {
  if (upload?.state === "failed") return "UNSENT";
  return deleting || moving || (upload && upload.state !== "sent") ? "BUSY" : status;
}

/** Return whether ingest works on a document. */
export const isWorking = (one) => !one.upload && (one.awaits || !FINAL.has(one.status));

/** Return the words for a document's status. */
export function statusWords(one) {
  const { upload } = one;
  if (upload?.state === "failed") return `${t("status.UNSENT")}: ${errorWords(upload.error)}`;
  if (upload?.state === "waiting") return t("status.queued");
  if (upload?.state === "sending") return t("status.uploading", { share: percent(upload.sent / upload.file.size) });
  if (one.deleting) return t("status.deleting");
  if (one.moving) return t("status.moving");
  if (one.status === "PENDING") {
    return one.pages ? t("status.pages", { done: one.pages_done, count: one.pages }) : t("status.PENDING");
  }
  if (one.status === "INDEXED" && one.recognised_pages) return t("status.recognised", { pages: one.recognised_pages });
  const reason = one.reason && (has(`reason.${one.reason}`) ? t(`reason.${one.reason}`) : one.detail);
  return [t(`status.${one.status}`), reason].filter(Boolean).join(": ");
}

/** Return the pages that could not be read, by reason, in words. */
export const unreadable = (pages) =>
  Object.entries(pages ?? {}).map(([reason, listed]) => `${listed}: ${named(`reason.${reason}`)}`).join("; ");

/** Return the rows below a prefix: its folders and documents, or with `words` all documents that have them. */
export function rowsOf(documents, prefix, words) {
  const below = documents.filter((one) => one.document.startsWith(prefix));
  const name = ({ document }) => document.slice(prefix.length);
  if (words) {
    const has = (one) => fold([one.document, one.title, one.status, statusWords(one)].join(" ")).includes(fold(words));
    return below.filter(has).map((one) => ({ ...one, name: name(one) }));
  }
  const folders = new Map();
  const rows = [];
  for (const one of below) {
    const slash = name(one).indexOf("/");
    if (slash < 0) {
      rows.push({ ...one, name: name(one) });
      continue;
    }
    const path = one.document.slice(0, prefix.length + slash + 1);
    const folder = folders.get(path) ?? { folder: path, name: name(one).slice(0, slash) || "/", size: 0, updated_at: 0 };
    folders.set(path, folder);
    folder.size += one.size ?? 0;
    folder.updated_at = Math.max(folder.updated_at, one.updated_at ?? 0);
    (folder.documents ??= []).push(one);
  }
  return [...folders.values(), ...rows];
}

/** Return the words for what a folder has: the count of its documents, and of those that are not ready. */
export function folderWords({ documents }) {
  const counts = new Map();
  for (const one of documents) counts.set(stateOf(one), (counts.get(stateOf(one)) ?? 0) + 1);
  counts.delete("INDEXED");
  const rest = [...counts].map(([state, count]) => `${t(`status.${state}`)}: ${whole(count)}`);
  return [t("folder.count", { count: documents.length }), ...rest].join(" · ");
}

const VALUES = { date: (one) => one.updated_at ?? 0, size: (one) => one.size ?? 0 };

/** Return the rows in an order: folders first; by name or status from A, by date or size from the top, or reversed. */
export function inOrder(rows, { by, reversed }) {
  const compare = comparison();
  const value = VALUES[by];
  const words = by === "status" ? new Map(rows.map((one) => [one, one.folder ? "" : statusWords(one)])) : null;
  const order = (a, b) => (value ? value(b) - value(a) : words ? compare(words.get(a), words.get(b)) : 0);
  const sign = reversed ? -1 : 1;
  const isFile = (one) => (one.folder ? 0 : 1);
  return rows.toSorted((a, b) => isFile(a) - isFile(b) || sign * (order(a, b) || compare(a.name, b.name)));
}
