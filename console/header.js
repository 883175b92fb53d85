// The header: the views, and a menu with the caller's use and the settings of the page. On a narrow screen the menu
// has the views too, so that the header is one line at each width.
import { html } from "./vendor/htm-preact.mjs";
import { Facts, Languages } from "./parts.js";
import { isSignedIn } from "./sign-in.js";
import { ofQuota, t } from "./strings.js";

const THEME = "docwell.theme";

/** Apply the theme that was chosen earlier in this browser. */
export function applyTheme() {
  const theme = localStorage.getItem(THEME);
  if (theme) document.documentElement.dataset.theme = theme;
}

function toggleTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  localStorage.setItem(THEME, now === "dark" ? "light" : "dark");
  applyTheme();
}

function focusMain(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

export function Header({ view, usage, demo, onLanguage, onLeave }) {
  const names = ["ask", "documents", ...(usage.operates ? ["operations"] : [])];
  const ofUploads = ["pages", "bytes", "reading_s"].filter((name) => usage[`${name}_per_day`] != null);
  const uses = ["requests", "tokens", ...ofUploads];
  const views = (shown, onClick) => html`
    <nav class=${shown} aria-label=${t("nav.main")}>${names.map((name) => html`
      <a href=${`#/${name}`} aria-current=${view === name ? "page" : undefined} onClick=${onClick}>
        ${t(`nav.${name}`)}</a>`)}</nav>`;
  const close = () => document.getElementById("menu").hidePopover();
  return html`
    <header class="top">
      <a class="skip" href="#main" onClick=${focusMain}>${t("nav.skip")}</a>
      <b class="brand">docwell</b>
      ${views("inline")}
      <span class="spring"></span>
      ${demo && html`<span class="badge" title=${t("nav.demo_why")}>${t("nav.demo")}</span>`}
      <button class="quiet menu-button" popovertarget="menu" aria-label=${t("nav.menu")}>
        <span aria-hidden="true">☰</span></button>
      <div class="menu" id="menu" popover="auto">
        ${views("stacked", close)}
        <${Facts} rows=${uses.map((name) => [t(`nav.${name}`), ofQuota(usage, name)])} />
        ${demo && html`<p class="muted">${t("nav.demo_why")}</p>`}
        <${Languages} onLanguage=${onLanguage} />
        <button class="quiet" onClick=${toggleTheme}>${t("nav.theme")}</button>
        <button class="quiet" onClick=${onLeave}>${t(isSignedIn() ? "nav.sign_out" : "nav.leave")}</button>
      </div>
    </header>`;
}
