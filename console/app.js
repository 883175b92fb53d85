// The console: its views by the address's fragment, and what they share.
import { html, render, useCallback, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { Problem, call, documents, forgetKey, hasKey, onUnknown, setKey, takeKey } from "./api.js";
import { Ask } from "./ask.js";
import { closeConversation, forgetConversations, useConversations } from "./conversations.js";
import { Documents } from "./documents.js";
import { Header, applyTheme } from "./header.js";
import { Operations } from "./operations.js";
import { Failure, Languages } from "./parts.js";
import { watchPreviews } from "./preview.js";
import { Receipt } from "./receipt.js";
import { sourceOf } from "./answer.js";
import { finishSignIn, hasSignIn, isSignedIn, signOut, startSignIn } from "./sign-in.js";
import { Source, sourceAddress } from "./source.js";
import { choose, language, t } from "./strings.js";

// As in style.css.
const NARROW = "(max-width: 60rem)";
// The state of the history while a source covers the view.
const COVERED = "source";

/** Return the view and its parameters of an address such as #/source?document=a.pdf&page=3. */
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/");
  return { view: view || "ask", id: rest.join("/"), query: new URLSearchParams(query) };
}

function sourceIn(query) {
  const page = Math.max(1, Number.parseInt(query.get("page"), 10) || 1);
  return { ...Object.fromEntries(query), page };
}

function KeyForm({ error, onKey, onLanguage }) {
  const submit = (event) => {
    event.preventDefault();
    onKey(new FormData(event.target).get("key"));
  };
  return html`
    <main class="login">
      <h1>docwell</h1>
      ${hasSignIn && html`<p class="row">
        <button class="main" onClick=${startSignIn}>${t("sign_in.start")}</button>
        <button class="quiet" onClick=${() => (forgetConversations(), signOut())}>${t("sign_in.another")}</button></p>`}
      <p>${t("key.text")}</p>
      <form onSubmit=${submit}>
        <label for="key">${t("key.label")}</label>
        <input id="key" name="key" type="password" autocomplete="off" required autofocus />
        <button class="main">${t("key.open")}</button>
      </form>
      <${Failure} error=${error} />
      <${Languages} onLanguage=${onLanguage} />
    </main>`;
}

/** The question whether the key of a link takes the place of the caller's own. */
function KeyOffer({ onTake, onKeep }) {
  const first = useRef();
  useEffect(() => first.current.focus(), []);
  return html`
    <main class="login">
      <h1>docwell</h1>
      <p role="alert">${t("key.offered")}</p>
      <p class="row"><button class="main" ref=${first} onClick=${onKeep}>${t("key.keep")}</button>
        <button onClick=${onTake}>${t("key.take")}</button></p>
    </main>`;
}

function useRoute(known, setOffered) {
  const [now, setNow] = useState(route);
  useEffect(() => {
    const changed = async () => {
      const offered = await takeKey();
      if (offered) setOffered(offered);
      if (!known && hasKey()) location.reload(); // the link's key is taken
      setNow(route());
    };
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, [known]);
  return now;
}

function App({ failed, given }) {
  const [known, setKnown] = useState(hasKey());
  const [offered, setOffered] = useState(given);
  const { view, id, query } = useRoute(known, setOffered);
  const [usage, setUsage] = useState(null);
  const [demo, setDemo] = useState(false);
  const [list, setList] = useState(null);
  const [files, setFiles] = useState([]);
  const talks = useConversations(usage?.id, list);
  const [source, setSource] = useState(null);
  const opener = useRef();
  const closed = useRef(false);
  const [failure, setFailure] = useState(failed);
  const [, setLanguage] = useState(language);

  const fail = useCallback((error) => {
    // The first of them tells why; later requests have no key.
    setFailure((now) => (now?.status === 401 && error.status === 401 ? now : error));
    if (error.status === 401) {
      closeConversation();
      forgetKey();
      setKnown(false);
    }
  }, []);
  // An answer clears the message that the server does not answer, once there is a list that it could be about.
  const listed = useRef(false);
  const used = useCallback(() => call("GET", "/v1/usage").then((found) => {
    setUsage(found);
    if (listed.current) setFailure((now) => (now?.status === 0 ? null : now));
  }, fail), [fail]);
  const reload = useCallback(() => documents().then((found) => {
    listed.current = true;
    setList(found);
    setFailure(null);
  }, fail), [fail]);
  useEffect(() => onUnknown(fail), [fail]);
  useEffect(() => {
    const pressed = (event) => {
      const isTyping = event.target.matches?.("input, textarea, select");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey || !known) return;
      event.preventDefault();
      if (matchMedia(NARROW).matches) setSource(null);
      location.hash = "#/ask"; // its field takes the focus when it opens
      document.getElementById("question")?.focus();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [known]);
  useEffect(() => {
    const left = () => {
      if (!matchMedia(NARROW).matches) return;
      closed.current = true;
      setSource(null);
    };
    window.addEventListener("popstate", left);
    return () => window.removeEventListener("popstate", left);
  }, []);
  useEffect(() => {
    if (known) Promise.all([used(), reload()]);
    if (known) call("GET", "/v1/status").then((found) => setDemo(found.demo_model), () => {});
  }, [known]);
  useEffect(() => {
    if (view === "source") setSource(sourceIn(query));
    else if (matchMedia(NARROW).matches) setSource(null); // there it covers the view
    document.querySelector("main h1[tabindex]")?.focus();
  }, [view, id, query.toString(), offered]);
  useEffect(() => {
    const isClosed = closed.current && !source;
    closed.current = false;
    if (!isClosed) return;
    const found = opener.current?.isConnected ? opener.current : document.querySelector("#question, #main");
    found?.focus(); // only now: on a narrow screen the source covered it
  }, [source]);

  const onLanguage = (code) =>
    choose(code).then(() => setLanguage(code), () => fail(new Problem(0, { detail: "unreachable" })));
  const open = async (key) => {
    closeConversation();
    forgetKey();
    await setKey(key);
    location.reload(); // what the page shows may be another caller's
  };
  if (offered) {
    return html`<${KeyOffer} onTake=${() => open(offered)} onKeep=${() => setOffered(null)} />`;
  }
  if (!known) {
    return html`<${KeyForm} error=${failure} onLanguage=${onLanguage} onKey=${open} />`;
  }
  const leave = () => {
    const signedIn = isSignedIn();
    forgetConversations();
    if (signedIn) signOut();
    forgetKey();
    if (!signedIn) location.reload();
  };
  if (!usage) {
    return html`<main class="login">
      ${!failure && html`<p role="status">${t("loading")}</p>`}
      <${Failure} error=${failure} />
      ${failure && html`<p class="row">
        <button class="main" onClick=${() => location.reload()}>${t("documents.reload")}</button>
        <button class="quiet" onClick=${leave}>${t(isSignedIn() ? "nav.sign_out" : "nav.leave")}</button></p>`}
    </main>`;
  }
  const collections = [...new Set((list ?? []).map((one) => one.collection).filter(Boolean))].sort();
  const show = (one, among = []) => {
    opener.current = document.activeElement;
    // An entry that "Back" leaves: on a telephone it closes what covers the view, and not the page.
    if (!source && matchMedia(NARROW).matches) history.pushState(COVERED, "");
    setSource({ ...sourceOf(one), one, among });
  };
  const askAbout = (name) => {
    talks.setFilter({ document: name });
    location.hash = "#/ask";
  };
  const close = () => {
    if (history.state === COVERED) return history.back();
    closed.current = true;
    setSource(null);
    if (view === "source") location.hash = "#/ask";
  };
  const step = (by) => {
    const { one, among } = source;
    const next = among[among.indexOf(one) + by];
    if (next) setSource({ ...sourceOf(next), one: next, among });
  };
  const give = (dropped) => {
    setFiles(dropped);
    location.hash = "#/documents";
  };
  const shared = { collections, onSource: show, onUsed: used };
  return html`
    <${Header} demo=${demo} view=${view} usage=${usage} onLanguage=${onLanguage} onLeave=${leave} />
    <div class=${source ? "columns two" : "columns"}>
      <main id="main" tabindex="-1">
        <${Failure} error=${failure} />
        ${(view === "ask" || view === "source") && html`
          <${Ask} ...${shared} talks=${talks} list=${list} writes=${usage.writable?.length !== 0} onFiles=${give}
            onFailed=${setFailure} />`}
        ${view === "documents" && html`
          <${Documents} ...${shared} list=${list} setList=${setList} usage=${usage} folder=${id} onAsk=${askAbout}
            reload=${reload} files=${files} setFiles=${setFiles} />`}
        ${view === "operations" && html`<${Operations} onUsed=${used} />`}
        ${view === "receipt" && html`<${Receipt} key=${id} id=${id} onSource=${show} />`}
      </main>
      ${source && html`<aside aria-label=${t("source.label")}>
        <${Source} key=${sourceAddress(source)} source=${source} onClose=${close} onStep=${step} />
        <a class="permanent" href=${sourceAddress(source)}>${t("source.permanent")}</a>
      </aside>`}
    </div>`;
}

// Beside the place for files, a browser would open them in place of the page.
for (const name of ["dragover", "drop"]) {
  addEventListener(name, (event) => {
    if (event.defaultPrevented || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "none";
  });
}
applyTheme();
watchPreviews();
const given = await takeKey();
const failed = await finishSignIn().then(() => null, (error) => error);
render(html`<${App} failed=${failed} given=${given} />`, document.body);
