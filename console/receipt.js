// The receipt of an answer: what was asked, found and answered, and at what cost.
import { html, useEffect, useState } from "./vendor/htm-preact.mjs";
import { call } from "./api.js";
import { Answer, Facts, Failure, Verdict, Work } from "./parts.js";
import { has, moment, t } from "./strings.js";

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Return the words for a difference, such as `document a.pdf` or `model`. */
function whatOf(what) {
  const [kind, ...name] = what.split(" ");
  return has(`change.${kind}`) ? t(`change.${kind}`, { name: name.join(" ") }) : what;
}

/** Return one side of a difference. Statuses and modes have words. */
function sideOf(what, value) {
  const key = what === "status" ? `outcome.${value}` : `${what}.${value}`;
  return has(key) ? t(key) : shown(value);
}

function Changes({ changes }) {
  if (!changes.length) return html`<p>${t("receipt.same")}</p>`;
  return html`
    <table>
      <thead><tr>${["what", "then", "now"].map((name) => html`<th>${t(`receipt.${name}`)}</th>`)}</tr></thead>
      <tbody>${changes.map(
        (one) => html`<tr><td>${whatOf(one.what)}</td>
          <td>${sideOf(one.what, one.then)}</td><td>${sideOf(one.what, one.now)}</td></tr>`,
      )}</tbody>
    </table>`;
}

export function Receipt({ id, onSource }) {
  const [receipt, setReceipt] = useState(null);
  const [replay, setReplay] = useState(null);
  const [failure, setFailure] = useState(null);
  const path = `/v1/receipts/${encodeURIComponent(id)}`;
  useEffect(() => {
    call("GET", path).then(setReceipt, setFailure);
  }, [path]);
  useEffect(() => {
    if (receipt) document.getElementById("receipt-title").focus();
  }, [receipt]);

  const again = async () => {
    setReplay("waiting");
    try {
      setReplay(await call("POST", `${path}/replay`));
    } catch (error) {
      setReplay(null);
      setFailure(error);
    }
  };
  if (!receipt) {
    return failure ? html`<${Failure} error=${failure} />` : html`<p role="status">${t("loading")}</p>`;
  }
  const { request, answer } = receipt;
  const collections = [request.collection, ...(request.collections ?? [])].filter(Boolean).join(", ");
  const rows = [
    [t("receipt.id"), receipt.request_id],
    [t("receipt.at"), moment(receipt.created_at)],
    [t("receipt.model"), receipt.model],
    [t("receipt.prompt"), receipt.prompt_version],
    [t("receipt.collections"), collections || t("all")],
    [t("receipt.mode"), t(`mode.${answer.mode}`)],
    ...Object.entries(receipt.options).map(([name, value]) => [name, shown(value)]),
  ];
  return html`
    <section class="page" aria-labelledby="receipt-title">
      <h1 id="receipt-title" tabindex="-1">${t("receipt.title")}</h1>
      <h2 class="question">${request.question}</h2>
      <${Answer} answer=${answer} onSource=${onSource} />
      <${Verdict} id=${receipt.request_id} first=${receipt} />
      <h2>${t("receipt.facts")}</h2>
      <${Facts} rows=${rows} />
      <h2>${t("receipt.passages")}</h2>
      <ul>${receipt.passages.map(([, document, version]) => html`<li>
        ${document} <span class="muted">${version}</span>
      </li>`)}</ul>
      <p><${Work} onClick=${again} busy=${replay === "waiting"}>${t("receipt.replay")}<//></p>
      <${Failure} error=${failure} />
      <div role="status">
        ${replay === "waiting" && t("receipt.replaying")}
        ${replay?.changes && html`<${Changes} changes=${replay.changes} />`}
      </div>
    </section>`;
}
