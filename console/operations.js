// The view of operators: the model, index and bucket, dead letters, the canary, use and cost. It shows what exists here:
// on one machine there are no canary and no prices.
import { html, useEffect, useState } from "./vendor/htm-preact.mjs";
import { call } from "./api.js";
import { Chart } from "./chart.js";
import { Failure, Work, errorWords } from "./parts.js";
import { day, moment, money, named as words, ofQuota, t, whole } from "./strings.js";

const PATH = "/v1/operations";
const some = (counts) => Object.entries(counts).filter(([, count]) => count);

/** A part of the view, if there is one. One that could not be read says why. */
function Part({ name, known, unknown, children }) {
  const id = `operations-${name}`;
  if (!known && !unknown) return null;
  return html`
    <section class="card" aria-labelledby=${id} data-part=${name}>
      <h2 id=${id}>${t(`part.${name}`)}</h2>
      ${unknown && html`<p class="failure">${t("operations.unknown", { reason: unknown })}</p>`}
      ${known && children()}
    </section>`;
}

function Counts({ counts, named }) {
  return html`<ul class="counts">${some(counts).map(([name, count]) => html`
    <li><b>${whole(count)}</b> ${named(name)}</li>`)}</ul>`;
}

function Reconcile({ found }) {
  const values = { time: moment(found.started_at), phase: words(`phase.${found.phase}`) };
  const drift = some(found.drift);
  return html`
    <p>${t(found.complete ? "reconcile.done" : "reconcile.runs", values)}</p>
    ${drift.length > 0 && html`<p class="warn">${t("reconcile.drift")}</p>
      <${Counts} counts=${found.drift} named=${(name) => words(`drift.${name}`)} />`}
    ${!drift.length && html`<p class="good">${t("reconcile.none")}</p>`}
    ${some(found.documents).length > 0 && html`<p>${t("reconcile.documents")}</p>
      <${Counts} counts=${found.documents} named=${(name) => words(`status.${name}`)} />`}`;
}

function DeadLetters({ found, onRedrive, busy }) {
  return html`
    ${!found.waiting && html`<p class="good">${t("letters.none")}</p>`}
    ${found.waiting > 0 && html`<p class="warn">${t("letters.waiting", { count: found.waiting })}</p>`}
    ${found.waiting > 0 && html`
      <p><${Work} onClick=${onRedrive} busy=${busy}>${t("letters.redrive")}<//></p>`}
    ${found.failed.length > 0 && html`
      <p>${t("letters.failed")}</p>
      <ul class="counts">${found.failed.map((one) => html`
        <li data-document=${one.document}><b>${one.document}</b>
          ${" "}${one.reason ? words(`reason.${one.reason}`) : ""}</li>`)}</ul>`}
    ${found.more && html`<p class="muted">${t("letters.more")}</p>`}`;
}

function Use({ found }) {
  const { days, currency } = found;
  const hasCost = days.some((one) => one.cost > 0);
  const columns = [["requests", whole], ["tokens", whole], ...(hasCost ? [["cost", money]] : [])];
  const head = (name) => (name === "cost" ? currency : t(`use.${name}`));
  return html`
    <div class="charts">${columns.map(([name, format]) => html`
      <${Chart} title=${t(`chart.${name}`, { currency })} format=${format}
        points=${days.map((one) => ({ label: day(one.day), value: one[name] }))} />`)}</div>
    ${!found.complete && html`<p class="note">${t("use.incomplete")}</p>`}
    <details><summary>${t("use.table")}</summary><div class="wide"><table>
      <thead><tr><th>${t("use.day")}</th>${columns.map(([name]) => html`
        <th class="number">${head(name)}</th>`)}</tr></thead>
      <tbody>${days.map((one) => html`<tr><th scope="row">${day(one.day)}</th>${columns.map(([name, format]) => html`
        <td class="number">${format(one[name])}</td>`)}</tr>`)}</tbody>
    </table></div></details>`;
}

function Callers({ found }) {
  return html`
    <div class="wide"><table>
      <thead><tr><th>${t("use.principal")}</th>
        <th>${t("use.requests")}</th><th>${t("use.tokens")}</th></tr></thead>
      <tbody>${found.map((one) => html`<tr><th scope="row">${one.label || one.id}</th>
        <td>${ofQuota(one, "requests")}</td><td>${ofQuota(one, "tokens")}</td></tr>`)}</tbody>
    </table></div>`;
}

export function Operations({ onUsed }) {
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState(null);
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const load = async () => {
    setBusy(true);
    try {
      const [parts, model] = await Promise.all([call("GET", PATH), call("GET", "/v1/status").catch(errorWords)]);
      if (typeof model === "string") parts.unknown.model = model;
      setFound({ ...parts, model: parts.unknown.model ? null : model });
      setFailure(null);
    } catch (error) {
      setFailure(error);
    }
    setBusy(false);
    onUsed();
  };
  useEffect(() => {
    load();
  }, []);

  // A call moves a hundred; messages that fail again come back, and end the loop.
  const redrive = async () => {
    setBusy(true);
    let sent = 0;
    let left = found.dead_letters.waiting;
    let failed = null;
    try {
      for (let moved = 1; moved > 0 && left > 0 && sent < found.dead_letters.waiting;) {
        ({ redriven: moved, waiting: left } = await call("POST", `${PATH}/redrive`));
        sent += moved;
      }
    } catch (error) {
      failed = error;
    }
    setSaid(t("letters.sent", { count: sent, left }));
    await load();
    if (failed) setFailure(failed);
  };
  const part = (name, value, children) => html`
    <${Part} name=${name} known=${value} unknown=${found.unknown[name]}>${children}<//>`;
  const { reconcile, dead_letters: letters, canary, model, usage } = found ?? {};
  return html`
    <section class="page" aria-labelledby="operations-title">
      <div class="row"><h1 id="operations-title" tabindex="-1">${t("nav.operations")}</h1>
        <span role="status">${busy ? t("loading") : said}</span> <span class="spring"></span>
        <${Work} class="quiet" onClick=${load} busy=${busy}>${t("operations.reload")}<//></div>
      <${Failure} error=${failure} />
      ${found && html`<div class="cards">
        ${part("model", model, () => html`<p><b>${words(`host.${model.model_host}`)}</b> ${model.model}</p>
          ${model.demo_model && html`<p class="muted">${t("nav.demo_why")}</p>`}
          ${model.passage_tokens && html`<p class="muted">${t("nav.room", { tokens: model.passage_tokens })}</p>`}`)}
        ${part("canary", canary, () => html`<p class=${canary.outcome === "found" ? "good" : "warn"}>
          ${words(`canary.${canary.outcome}`)}</p><p class="muted">${moment(canary.at)}</p>`)}
        ${part("reconcile", reconcile, () => html`<${Reconcile} found=${reconcile} />`)}
        ${part("dead_letters", letters, () => html`
          <${DeadLetters} found=${letters} onRedrive=${redrive} busy=${busy} />`)}
        ${part("usage", usage, () => html`<${Use} found=${usage} />`)}
        ${part("principals", usage?.principals.length > 1, () => html`
          <${Callers} found=${usage.principals} />`)}
      </div>`}
    </section>`;
}
