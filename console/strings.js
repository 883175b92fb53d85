// The words, numbers and dates of the interface's language. Each language is a file in strings/.

/** The languages by their codes, each in its own words. */
export const LANGUAGES = {
  en: "English", de: "Deutsch", fr: "Français", es: "Español", ar: "العربية", zh: "中文",
};
const STORED = "docwell.language";
const RIGHT_TO_LEFT = new Set(["ar"]);
// U+2068 and U+2069: a name of the other direction between them does not reorder the sentence around it.
const ISOLATED = ["\u2068", "\u2069"];

const base = (locale) => locale.toLowerCase().split("-")[0];
const known = (locale) => base(locale) in LANGUAGES;

let words;
let locale;
let plurals;

/** Return what compares two texts as the language sorts them; 10 comes after 9. */
export const comparison = () => new Intl.Collator(locale, { numeric: true }).compare;

/** Return the code of the interface's language. */
export const language = () => document.documentElement.lang;

/** Speak the language of this code from now on, with the browser's own region of it, and keep the choice. */
export async function choose(code) {
  await speak(code);
  localStorage.setItem(STORED, code);
}

async function speak(code) {
  const response = await fetch(new URL(`strings/${code}.json`, import.meta.url));
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  words = await response.json();
  locale = navigator.languages.find((one) => base(one) === code) ?? code;
  plurals = new Intl.PluralRules(locale);
  document.documentElement.lang = code;
  document.documentElement.dir = RIGHT_TO_LEFT.has(code) ? "rtl" : "ltr";
}

/** Return the text of a key with its {values} filled in. The value `count` chooses among plural forms. */
export function t(key, values = {}) {
  const found = words[key] ?? key;
  const text = typeof found === "string" ? found : found[plurals.select(values.count)];
  return text.replace(/\{(\w+)\}/g, (_, name) => filled(values[name] ?? ""));
}

function filled(value) {
  if (typeof value === "number") return whole(value);
  return document.documentElement.dir === "rtl" ? ISOLATED.join(value) : value;
}

/** Return whether a key has a text. */
export const has = (key) => key in words;

/** Return the text of a key, or its last part where it has none. */
export const named = (key) => (has(key) ? t(key) : key.slice(key.indexOf(".") + 1));

const number = (value, options) => new Intl.NumberFormat(locale, options).format(value);
export const whole = (value) => number(value, { maximumFractionDigits: 0 });
/** Return the use of a day, and its quota if there is one: `name` is requests or tokens. */
export const ofQuota = (usage, name) =>
  [usage[name], usage[`${name}_per_day`]].filter((one) => one != null).map(whole).join(" / ");
/** A page or another place in a row, without marks between its digits. */
export const place = (value) => number(value, { useGrouping: false });
export const decimal = (value, digits) =>
  number(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const money = (value) => number(value, { maximumSignificantDigits: 3 });
export const percent = (share) => number(share, { style: "percent", maximumFractionDigits: 0 });
export const moment = (seconds) =>
  new Date(seconds * 1000).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
/** The day of a moment, in the time of this browser. */
export const date = (seconds) => new Date(seconds * 1000).toLocaleDateString(locale, { dateStyle: "medium" });
/** A day such as 2026-11-27. */
export const day = (date) => new Date(date).toLocaleDateString(locale, { dateStyle: "medium", timeZone: "UTC" });

/** A number of bytes, in the unit in which it is short. */
export function bytes(value) {
  const power = value < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(value) / 3)); // as `docwell ls`
  const unit = ["byte", "kilobyte", "megabyte", "gigabyte"][power];
  const unitDisplay = power ? "short" : "long"; // the short form of bytes has no plural
  return number(value / 1000 ** power, { style: "unit", unit, unitDisplay, maximumFractionDigits: power ? 1 : 0 });
}

const kept = localStorage.getItem(STORED);
const first = [kept, ...navigator.languages].find((one) => one && known(one));
// A page without words is blank: English where a language's file cannot be read.
await speak(base(first ?? "en")).catch(() => speak("en"));
