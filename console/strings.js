// The words of the interface. Another language is another file beside strings/en.json.
const words = await (await fetch(new URL("strings/en.json", import.meta.url))).json();

/** Return the text of a key with its {values} filled in. A key without a text stands for itself. */
export function t(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Return whether a key has a text. */
export const has = (key) => key in words;
