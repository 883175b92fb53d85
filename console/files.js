// The files of a drop, those of folders too.

const parts = (path) => path.split("/").filter(Boolean);

/** Return the key of a file at `path` in a folder. A file by itself in `default` is in no folder. */
export function keyOf(folder, path) {
  const clean = parts(path);
  return folder === "default" && clean.length === 1 ? clean[0] : [...parts(folder), ...clean].join("/");
}

const isHidden = (path) => parts(path).some((name) => name.startsWith("."));

/** Return the files of a choice as [{file, path}]. Hidden ones of a folder are left out, as in a drop. */
export const chosen = (files) =>
  [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name })).filter((one) => !isHidden(one.path));

const listed = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));

/** Return the files of an entry. Hidden files and folders, such as .git, are left out. */
async function within(entry, path) {
  if (entry.name.startsWith(".")) return [];
  const here = [...path, entry.name];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: here.join("/") }];
  }
  const reader = entry.createReader();
  const found = [];
  for (let some = await listed(reader); some.length; some = await listed(reader)) {
    for (const one of some) found.push(...(await within(one, here)));
  }
  return found;
}

/** Return the files of a drop as [{file, path}]. */
export async function dropped(transfer) {
  // All at once: the list of items is empty after the first pause.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const files = await Promise.all(entries.map((entry) => within(entry, [])));
  return files.flat();
}
