// A small bar chart, drawn as SVG by the document's own calls.
import { html } from "./vendor/htm-preact.mjs";
import { t } from "./strings.js";

const WIDTH = 280;
const HEIGHT = 56;
// Of a bar; the rest of its place is a gap.
const BAR = 0.75;

/** Show `points`, as [{label, value}], as bars over zero. `format` turns a value into text. */
export function Chart({ title, points, format }) {
  const most = Math.max(...points.map((one) => one.value), 0);
  const sum = points.reduce((before, one) => before + one.value, 0);
  const last = points.at(-1);
  const step = WIDTH / points.length;
  const bar = ({ label, value }, place) => {
    const height = most ? (HEIGHT * value) / most : 0;
    return html`<rect x=${place * step} y=${HEIGHT - height} width=${step * BAR} height=${height}>
      <title>${label}: ${format(value)}</title></rect>`;
  };
  const words = t("chart.words", { title, sum: format(sum), last: format(last.value), most: format(most) });
  return html`
    <figure class="chart">
      <figcaption>${title} <b>${format(sum)}</b></figcaption>
      <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT + 1}`} role="img" aria-label=${words}>
        ${points.map(bar)}
        <line x1="0" x2=${WIDTH} y1=${HEIGHT + 0.5} y2=${HEIGHT + 0.5}></line>
      </svg>
      <p class="muted ends"><span>${points[0].label}</span> <span>${last.label}</span></p>
    </figure>`;
}
