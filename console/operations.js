// The view of operators: drift, dead letters, the model, the canary, prompts, use and cost.
import { html, useEffect, useState } from "./vendor/htm-preact.mjs";
import { call } from "./api.js";
import { Chart } from "./chart.js";
import { Failure, Work } from "./parts.js";
import { day, moment, money, named as words, percent, t, whole } from "./strings.js";

const PATH = "/v1/operations";
const some = (counts) => Object.entries(counts).filter(([, count]) => count);
const of = (used, quota) => (quota == null ? whole(used) : `${whole(used)} / ${whole(quota)}`);

/** A part of the view. One that could not be read says why; one that has not happened says so. */
function Part({ name, known, unknown, children }) {
  const id = `operations-${name}`;
  return html`
    <section class="card" aria-labelledby=${id} data-part=${name}>
      <h2 id=${id}>${t(`part.${name}`)}</h2>
      ${unknown && html`<p class="failure">${t("operations.unknown", { reason: unknown })}</p>`}
      ${!unknown && !known && html`<p>${t(`never.${name}`)}</p>`}
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
    <p><b class=${found.waiting ? "warn" : "good"}>${t("letters.waiting", { count: found.waiting })}</b></p>
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
  const chart = (name, format) => html`
    <${Chart} title=${t(`chart.${name}`, { currency })} format=${format}
      points=${days.map((one) => ({ label: day(one.day), value: one[name] }))} />`;
  return html`
    <div class="charts">${chart("requests", whole)} ${chart("tokens", whole)} ${chart("cost", money)}</div>
    ${!found.complete && html`<p class="note">${t("use.incomplete")}</p>`}
    <div class="wide"><details><summary>${t("use.table")}</summary><table>
      <thead><tr><th>${t("use.day")}</th><th class="number">${t("use.requests")}</th>
        <th class="number">${t("use.tokens")}</th><th class="number">${currency}</th></tr></thead>
      <tbody>${days.map((one) => html`<tr><th scope="row">${day(one.day)}</th>
        <td class="number">${whole(one.requests)}</td><td class="number">${whole(one.tokens)}</td>
        <td class="number">${money(one.cost)}</td></tr>`)}</tbody>
    </table></details></div>`;
}

function Callers({ found }) {
  return html`
    <div class="wide"><table>
      <thead><tr><th>${t("use.principal")}</th>
        <th>${t("use.requests")}</th><th>${t("use.tokens")}</th></tr></thead>
      <tbody>${found.map((one) => html`<tr><th scope="row">${one.label || one.id}</th>
        <td>${of(one.requests, one.requests_per_day)}</td>
        <td>${of(one.tokens, one.tokens_per_day)}</td></tr>`)}</tbody>
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
      setFound(await call("GET", PATH));
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
  const part = (name, value, children, from = name) => html`
    <${Part} name=${name} known=${value} unknown=${found.unknown[from]}>${children}<//>`;
  const { reconcile, dead_letters: letters, canary, model, prompts, usage } = found ?? {};
  return html`
    <section class="page" aria-labelledby="operations-title">
      <h1 id="operations-title" tabindex="-1">${t("nav.operations")}</h1>
      <${Failure} error=${failure} />
      <p class="row"><${Work} class="quiet" onClick=${load} busy=${busy}>${t("operations.reload")}<//>
        <span role="status">${busy ? t("loading") : said}</span></p>
      ${found && html`<div class="cards">
        ${part("model", model, () => html`<p><b>${words(`host.${model.host}`)}</b> ${model.name}</p>`)}
        ${part("canary", canary, () => html`<p class=${canary.outcome === "found" ? "good" : "warn"}>
          ${words(`canary.${canary.outcome}`)}</p><p class="muted">${moment(canary.at)}</p>`)}
        ${part("reconcile", reconcile, () => html`<${Reconcile} found=${reconcile} />`)}
        ${part("dead_letters", letters, () => html`
          <${DeadLetters} found=${letters} onRedrive=${redrive} busy=${busy} />`)}
        ${part("prompts", prompts, () => html`<ul class="counts">${prompts.map((one) => html`
          <li><b>${one.name}</b> ${one.version}
            ${prompts.length > 1 && t("prompts.share", { share: percent(one.share) })}</li>`)}</ul>`)}
        ${part("usage", usage, () => html`<${Use} found=${usage} />`)}
        ${part("principals", usage?.principals.length && usage, () => html`
          <${Callers} found=${usage.principals} />`, "usage")}
      </div>`}
    </section>`;
}
