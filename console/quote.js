// Find a quote in the text of a PDF page by its letters and digits alone: spaces, hyphens and ligatures differ
// between docwell's text and that of pdf.js. So does the order of runs in a line that is written from the right.
// U+0640 only stretches an Arabic word.
const LETTER = /[^\P{L}\u0640]|\p{N}/u;
// Where the whole quote is not in one run on the page, its first and last letters are.
const END = 24;
const LONGER = 1.5;
// Letters of scripts that are written from the right: Hebrew, Arabic and their neighbours.
const FROM_RIGHT = /[\u0590-\u08FF]/;
// The least letters of a run. Shorter ones are in every text.
const RUN = 8;
// The least share of the quote's letters in its runs.
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
  const isNear = last >= 0 && end - first <= LONGER * wanted.length;
  return isNear && isWhole(text.slice(first, end), wanted) ? [[first, end]] : runs(text, wanted);
}

/**
 * Return the runs of a quote where the text has them in another order, as in lines from the right. They must be
 * near the longest run. The letters between them must be there too: another word would be another sentence.
 */
function runs(text, wanted) {
  if (!FROM_RIGHT.test(wanted)) return [];
  const reach = Math.floor(LONGER * wanted.length);
  const [longest] = common(text, wanted).sort((a, b) => b.length - a.length);
  if (!longest) return [];
  const from = Math.max(0, longest.start + longest.length - reach);
  const found = common(text.slice(from, longest.start + reach), wanted);
  const covered = found.reduce((sum, one) => sum + one.length, 0);
  if (covered < MOST * wanted.length) return [];
  const parts = found.map(({ start, length }) => [from + start, from + start + length]).sort(([a], [b]) => a - b);
  const end = Math.max(...parts.map((one) => one[1]));
  return isWhole(text.slice(Math.max(0, parts[0][0] - END), end + END), wanted) ? parts : [];
}

/** Return whether the text has the runs of a quote, and in its other letters those between the runs. */
function isWhole(text, wanted) {
  const found = common(text, wanted);
  let others = without(text, found.map(({ start, length }) => [start, start + length]));
  for (const rest of without(wanted, found.map(({ at, length }) => [at, at + length])).split(" ")) {
    if (!others.includes(rest)) return false;
    others = others.replace(rest, " ".repeat(rest.length));
  }
  return true;
}

/** Return the text with blanks in the place of these parts. */
function without(text, parts) {
  const blank = (left, [start, end]) => left.slice(0, start) + " ".repeat(end - start) + left.slice(end);
  return parts.reduce(blank, text);
}

/** Return the longest runs of the quote that the text has: their start in the text, place in the quote, length. */
function common(text, wanted) {
  const found = [];
  for (let at = 0; at + RUN <= wanted.length;) {
    let end = at + RUN;
    let start = text.indexOf(wanted.slice(at, end));
    for (let next = start; next >= 0 && end <= wanted.length; next = text.indexOf(wanted.slice(at, end), next)) {
      start = next;
      end += 1;
    }
    if (start >= 0) found.push({ start, at, length: end - 1 - at });
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
