// Find a quote in the text of a PDF page by its letters and digits alone: spaces, hyphens and ligatures differ
// between docwell's text and that of pdf.js.
const LETTER = /[\p{L}\p{N}]/u;
// Where the whole quote is not on the page, its first and last letters are.
const END = 24;
const LONGER = 1.5;

/** Return the letters of the strings in lower case, and for each its [string, start, end]. */
function letters(strings) {
  let text = "";
  const places = [];
  strings.forEach((string, index) => {
    let at = 0;
    for (const character of string) {
      for (const letter of character.normalize("NFKC").toLowerCase()) {
        if (!LETTER.test(letter)) continue;
        text += letter;
        for (let unit = 0; unit < letter.length; unit += 1) places.push([index, at, at + character.length]);
      }
      at += character.length;
    }
  });
  return [text, places];
}

function span(text, wanted) {
  const whole = text.indexOf(wanted);
  if (whole >= 0) return [whole, whole + wanted.length];
  if (wanted.length < 2 * END) return null;
  const first = text.indexOf(wanted.slice(0, END));
  const last = first < 0 ? -1 : text.indexOf(wanted.slice(-END), first);
  const end = last + END;
  return last >= 0 && end - first <= LONGER * wanted.length ? [first, end] : null;
}

/** Return where a quote is in the strings of a page: [{index, start, end}], empty where it is not. */
export function find(strings, quote) {
  const [text, places] = letters(strings);
  const [wanted] = letters([quote]);
  const found = wanted && span(text, wanted);
  if (!found) return [];
  const ranges = [];
  for (const [index, start, end] of places.slice(...found)) {
    const last = ranges.at(-1);
    if (last?.index === index) last.end = end;
    else ranges.push({ index, start, end });
  }
  return ranges;
}
