// The choice of what a question searches and how it is answered: one menu, and a chip for each choice.
import { html } from "./vendor/htm-preact.mjs";
import { Icon } from "./icons.js";
import { t } from "./strings.js";

// The fields of the API's filter that need no list of values, with the kinds of their inputs.
const FIELDS = { prefix: "text", title: "text", author: "text", created_from: "date", created_to: "date" };
const MODES = ["auto", "passages", "overview", "compare", "list"];

const given = (fields) =>
  Object.entries(fields).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);

/** Return the part of a question's body that says what is searched, and how. */
export function scopeOf({ collections, fields, mode, document }) {
  if (document) return { mode, document };
  const conditions = given(fields);
  return {
    mode,
    filter: conditions.length ? Object.fromEntries(conditions) : undefined,
    ...(collections.length && { collections }),
  };
}

const toggled = (names, name) => (names.includes(name) ? names.filter((one) => one !== name) : [...names, name]);

/** The menu. Its button says how many choices there are. */
export function Filter({ filter, setFilter, collections }) {
  const { collections: chosen, fields, mode, document } = filter;
  const count = chipsOf(filter, setFilter).length;
  const close = ({ key, currentTarget: menu }) => {
    if (key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  };
  const leave = ({ currentTarget: menu, relatedTarget }) => {
    if (relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
  };
  return html`
    <details class="choice" onKeyDown=${close} onFocusOut=${leave}>
      <summary><${Icon} name="filter" /> ${t("filter.button")}${count > 0 && html` <b>${count}</b>`}</summary>
      <div class="choices" tabindex="-1">
        ${!document && collections.length > 0 && html`<fieldset>
          <legend>${t("ask.collections")}</legend>
          ${collections.map((name) => html`<label>
            <input type="checkbox" checked=${chosen.includes(name)}
              onChange=${() => setFilter({ collections: toggled(chosen, name) })} /> ${name}</label>`)}
        </fieldset>`}
        ${!document && html`<fieldset class="fields">
          <legend>${t("filter.legend")}</legend>
          ${Object.entries(FIELDS).map(([name, type]) => html`<label>${t(`filter.${name}`)}
            <input type=${type} value=${fields[name] ?? ""}
              onInput=${(event) => setFilter({ fields: { ...fields, [name]: event.target.value } })} /></label>`)}
        </fieldset>`}
        <fieldset>
          <legend>${t("ask.mode")}</legend>
          ${MODES.map((one) => html`<label><input type="radio" name="mode" checked=${mode === one}
            onChange=${() => setFilter({ mode: one })} /> ${t(`mode.${one}`)}</label>`)}
        </fieldset>
      </div>
    </details>`;
}

/** Return each choice as its words and what removes it. */
function chipsOf({ collections, fields, mode, document }, setFilter) {
  const chips = [];
  const add = (words, without) => chips.push([words, () => setFilter(without)]);
  if (document) add(t("ask.about", { document }), { document: null });
  else {
    for (const name of collections) add(name, { collections: toggled(collections, name) });
    for (const [name, value] of given(fields)) {
      add(`${t(`filter.${name}`)}: ${value}`, { fields: { ...fields, [name]: "" } });
    }
  }
  if (mode !== "auto") add(t(`mode.${mode}`), { mode: "auto" });
  return chips;
}

/** The choices, each with a button that removes it. */
export function Chips({ filter, setFilter, onRemoved }) {
  const chips = chipsOf(filter, setFilter);
  if (!chips.length) return null;
  return html`<ul class="chips">${chips.map(([words, remove]) => html`
    <li class="chip"><span>${words}</span>
      <button type="button" class="bare" aria-label=${t("filter.remove", { name: words })}
        onClick=${() => (remove(), onRemoved())}><${Icon} name="close" /></button></li>`)}</ul>`;
}
