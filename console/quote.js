// Find a quote in the text of a PDF page by its letters and digits alone: spaces, hyphens and ligatures differ
// between docwell's text and that of pdf.js. So does the order of runs in a line that is written from the right.
// U+0640 only stretches an Arabic word.
const LETTER = /[^\P{L}\u0640]|\p{N}/u;
// Where the whole quote is not on the page, its first and last letters are.
const END = 24;
const LONGER = 1.5;
// Runs of this length are looked for by themselves; shorter ones are in every text.
const RUN = 8;
// Runs near each other that have this share of the letters are the quote.
const MOST = 0.8;

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

/** Return the parts of the text, as [start, end], that are the quote; none where it is not there. */
function spans(text, wanted) {
  const whole = text.indexOf(wanted);
  if (whole >= 0) return [[whole, whole + wanted.length]];
  if (wanted.length < 2 * END) return runs(text, wanted);
  const first = text.indexOf(wanted.slice(0, END));
  const last = first < 0 ? -1 : text.indexOf(wanted.slice(-END), first);
  const end = last + END;
  return last >= 0 && end - first <= LONGER * wanted.length ? [[first, end]] : runs(text, wanted);
}

/** Return the runs of a quote whose order is another one in the text. They are near the longest of them. */
function runs(text, wanted) {
  const length = ([start, end]) => end - start;
  const longest = common(text, wanted).reduce((a, b) => (length(b) > length(a) ? b : a), [0, 0]);
  const from = Math.max(0, longest[1] - Math.floor(LONGER * wanted.length));
  const found = common(text.slice(from, longest[0] + Math.floor(LONGER * wanted.length)), wanted);
  const covered = found.reduce((sum, one) => sum + length(one), 0);
  if (covered < MOST * wanted.length) return [];
  return found.map(([start, end]) => [from + start, from + end]).sort(([a], [b]) => a - b);
}

/** Return the longest runs of the quote that the text has, from the quote's beginning on, as parts of the text. */
function common(text, wanted) {
  const found = [];
  for (let at = 0; at + RUN <= wanted.length;) {
    let end = at + RUN;
    let start = text.indexOf(wanted.slice(at, end));
    for (let next = start; next >= 0 && end <= wanted.length; next = text.indexOf(wanted.slice(at, end), next)) {
      start = next;
      end += 1;
    }
    if (start >= 0) found.push([start, start + end - 1 - at]);
    at = start >= 0 ? end - 1 : at + 1;
  }
  return found;
}

/** Return where a quote is in the strings of a page: [{index, start, end}], empty where it is not. */
export function find(strings, quote) {
  const [text, places] = letters(strings);
  const [wanted] = letters([quote]);
  const found = wanted ? spans(text, wanted) : [];
  const ranges = [];
  for (const [index, start, end] of found.flatMap((one) => places.slice(...one))) {
    const last = ranges.at(-1);
    if (last?.index === index) last.end = Math.max(last.end, end);
    else ranges.push({ index, start, end });
  }
  return ranges;
}
