// The choice of the documents that a question searches.
import { html } from "./vendor/htm-preact.mjs";
import { closeOnEscape } from "./parts.js";
import { t } from "./strings.js";

// The fields of the API's filter that need no list of values, with the kinds of their inputs.
const FIELDS = { prefix: "text", title: "text", author: "text", created_from: "date", created_to: "date" };

/** Return the filter of a question, undefined where no field has a value. */
export function filterOf(fields) {
  const given = Object.entries(fields).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
  return given.length ? Object.fromEntries(given) : undefined;
}

/** The inputs of the filter. A closed one says how many conditions it has. */
export function Filters({ fields, setFields }) {
  const count = Object.keys(filterOf(fields) ?? {}).length;
  return html`
    <details class="choice" onKeyDown=${closeOnEscape}>
      <summary>${count ? t("filter.some", { count }) : t("filter.none")}</summary>
      <fieldset>
        <legend>${t("filter.legend")}</legend>
        ${Object.entries(FIELDS).map(([name, type]) => html`<label>${t(`filter.${name}`)}
          <input type=${type} value=${fields[name] ?? ""}
            onInput=${(event) => setFields({ ...fields, [name]: event.target.value })} /></label>`)}
        <button type="button" class="quiet" onClick=${() => setFields({})}>
          ${t("filter.clear")}</button>
      </fieldset>
    </details>`;
}
