// The icons of buttons, drawn as lines in the colour of the text.
import { html } from "./vendor/htm-preact.mjs";

const PATHS = {
  ask: "M12 19V5M5 12l7-7 7 7",
  stop: "M7 7h10v10H7z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  good: "M7 11v9H4v-9zM7 11l4-7c2 0 3 1 2 4l-1 2h6c2 0 2 1 2 2l-2 6c0 1-1 2-2 2H7",
  bad: "M17 13V4h3v9zM17 13l-4 7c-2 0-3-1-2-4l1-2H6c-2 0-2-1-2-2l2-6c0-1 1-2 2-2h9",
  receipt: "M6 3v18l2-2 2 2 2-2 2 2 2-2 2 2V3zM9 8h6M9 12h6",
  filter: "M4 6h16M7 12h10M10 18h4",
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  rename: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  remove: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  save: "M12 4v11M7 10l5 5 5-5M5 20h14",
  upload: "M12 16V5M7 10l5-5 5 5M5 20h14",
  talks: "M4 5h16v11H9l-5 4z",
  before: "M15 5l-7 7 7 7",
  after: "M9 5l7 7-7 7",
  warning: "M12 4L2 20h20zM12 10v5M12 17v1",
};

export const Icon = ({ name }) => html`
  <svg class=${`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

/** A button with an icon alone. Its name is its label, and its tooltip under the pointer or with the focus. */
export const IconButton = ({ icon, label, class: name = "", ...rest }) => html`
  <button type="button" class=${`bare tip ${name}`} aria-label=${label} data-tip=${label} ...${rest}>
    <${Icon} name=${icon} /></button>`;
