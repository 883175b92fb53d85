// The parts of an answer for the page, and the same as Markdown. Pure: no element is made here.
import { place, t } from "./strings.js";

const MARKER = /\[(\d+)\]/;

/** Return the answer as [{sentence, parts}]: `parts` are texts and marker numbers that have a citation. */
export function pieces(answer) {
  const known = new Set(answer.citations.map((one) => one.marker));
  const split = (text) =>
    text.split(MARKER).map((part, at) => {
      if (at % 2 === 0) return part;
      return known.has(Number(part)) ? Number(part) : `[${part}]`;
    });
  const found = [];
  let at = 0;
  for (const sentence of answer.sentences) {
    const start = answer.answer.indexOf(sentence.text, at);
    if (start < 0) continue;
    if (start > at) found.push({ sentence: null, parts: split(answer.answer.slice(at, start)) });
    at = start + sentence.text.length;
    found.push({ sentence, parts: split(sentence.text) });
  }
  found.push({ sentence: null, parts: split(answer.answer.slice(at)) });
  return found;
}

const ROW = /^- (.*?)(?:: “(.*)”)? \[(\d+)\]$/;

/** Return the lines of a list as [{text, quote, citation}], and the text around them. A checked text has no rows. */
export function rowsOf({ answer, sentences, citations }) {
  const lines = answer.split("\n");
  const rows = sentences.length ? [] : lines.filter((line) => line.startsWith("- "));
  const read = (line) => {
    const [, text = line.slice(2), quote, marker] = line.match(ROW) ?? [];
    const citation = citations.find((one) => one.marker === Number(marker));
    return citation ? { text, quote, citation } : { text: line.slice(2) };
  };
  return { rows: rows.map(read), text: rows.length ? lines.filter((line) => !rows.includes(line)).join("\n").trim() : answer };
}

const letters = (text) => text.replace(/\[\d+\]|[^\p{L}\p{N}]/gu, "");

/** Return whether a text has the letters and digits of another. */
export const says = (text, words) => letters(text).includes(letters(words));

/** Return the passages that no citation quotes: a source is shown once. */
export function uncited(passages, { citations }) {
  const isCited = ({ document, text }) =>
    citations.some((one) => one.document === document && says(text, one.display_quote));
  return passages.filter((one) => !isCited(one));
}

// On one line: a key may hold line ends, and would write sources of its own.
const escaped = (text) => text.trim().replace(/\s+/g, " ").replace(/[\\`*_[\]<>#|]/g, "\\$&");

/** Return the label of the place that a citation names, such as a slide; null for a page. */
export const unitLabel = ({ unit }) => (unit && unit.kind !== "page" ? unit.label : null);

/** Return the place of a citation or passage in words: its page in the file, and another number printed on it. */
export function placeOf(one) {
  const { page, page_label: label } = one;
  const isPrinted = label && label !== String(page);
  return unitLabel(one) ?? t(isPrinted ? "answer.printed" : "answer.page", { page: place(page), label });
}

/** Return the source to open for a citation, a passage or a place without a quote. The API gave its quote. */
export function sourceOf(one) {
  const { document, version, page, display_quote: cited, likely, text } = one;
  return { document, version, page, place: unitLabel(one), quote: cited ?? likely ?? text, isGiven: true };
}

/** Return a question and its answer as Markdown, with the place and the quote of each citation. */
export function markdown(question, answer) {
  const sources = answer.citations.map((one) => {
    const [name, where, quote] = [one.document, placeOf(one), one.display_quote].map(escaped);
    return `${one.marker}. ${name}, ${where}: “${quote}”`;
  });
  return [`**${escaped(question)}**`, answer.answer, ...(sources.length ? [sources.join("\n")] : [])].join("\n\n");
}

/** Return the last turns of a conversation that the API takes as its history. */
export function history(turns, most = 5, characters = 6000) {
  const kept = [];
  let left = characters;
  // The API takes no turn without words, such as one that was stopped.
  for (const { question, answer } of turns.toReversed().filter((turn) => turn.answer?.answer.trim())) {
    // A follow-up as it was searched for: by itself it does not say what it is about.
    const asked = answer.rewritten_question || question;
    left -= asked.length + answer.answer.length;
    if (left < 0 || kept.length === most) break;
    kept.unshift({ question: asked, answer: answer.answer });
  }
  return kept;
}
