// Sign-in at the page of a user pool: authorization code with PKCE (RFC 7636), without a client secret. Tokens are
// in the session storage alone: they end with the tab.
import { t } from "./strings.js";

const TOKENS = "docwell.tokens";
const STARTED = "docwell.sign-in";
// A token is renewed this long before it ends, so that it is valid when a request arrives.
const EARLY_MS = 60_000;
// RFC 7636 recommends 256 bits for the verifier.
const SECRET_BYTES = 32;

// `make deploy` writes the file. On one machine it is empty. A cached page may outlive its server.
const settings = await fetch("config.json").then((one) => (one.ok ? one.json() : null)).catch(() => null);
const pool = settings?.sign_in;

export const hasSignIn = Boolean(pool);
const stored = () => JSON.parse(sessionStorage.getItem(TOKENS));
export const isSignedIn = () => stored() !== null;
export const forgetTokens = () => sessionStorage.removeItem(TOKENS);

const home = () => `${location.origin}/`;
const address = (path, query) => `${pool.url}${path}?${new URLSearchParams({ client_id: pool.client, ...query })}`;
const failure = (status, words) => Object.assign(new Error(words), { status });
const refused = (reason) => failure(401, t("sign_in.refused", { reason }));
const unread = () => failure(0, "unread_settings");

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Leave for the sign-in page. It comes back to the view that is open. */
export async function startSignIn() {
  const [verifier, state] = [0, 0].map(() => base64url(crypto.getRandomValues(new Uint8Array(SECRET_BYTES))));
  sessionStorage.setItem(STARTED, JSON.stringify({ verifier, state, view: location.hash }));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const challenge = base64url(new Uint8Array(digest));
  location.assign(address("/oauth2/authorize", {
    response_type: "code", scope: "openid", redirect_uri: home(), state,
    code_challenge: challenge, code_challenge_method: "S256",
  }));
}

/** Take the tokens if the address is the sign-in page's answer. Raises an error where it gives none. */
export async function finishSignIn() {
  const answer = new URLSearchParams(location.search);
  if (!settings) throw unread(); // a reload finishes it
  if (!answer.has("code") && !answer.has("error")) return;
  const started = JSON.parse(sessionStorage.getItem(STARTED));
  sessionStorage.removeItem(STARTED);
  history.replaceState(null, "", location.pathname + (started?.view ?? ""));
  // Anybody can write such an address, so its words count only with the state of this tab.
  if (!pool || !started || answer.get("state") !== started.state) throw failure(401, t("sign_in.foreign"));
  if (answer.has("error")) throw refused(answer.get("error_description") || answer.get("error"));
  const grant = { grant_type: "authorization_code", code: answer.get("code"), redirect_uri: home() };
  await take({ ...grant, code_verifier: started.verifier });
}

/**
 * Forget and revoke the tokens, and leave for the sign-in page, which ends its own session: the next sign-in asks
 * who it is.
 */
export function signOut() {
  const { refresh } = stored() ?? {};
  forgetTokens();
  if (!pool) return location.reload(); // its settings were not read
  const body = new URLSearchParams({ client_id: pool.client, token: refresh });
  // The page is gone before the answer.
  if (refresh) fetch(`${pool.url}/oauth2/revoke`, { method: "POST", body, keepalive: true }).catch(() => null);
  location.assign(address("/logout", { logout_uri: home() }));
}

let renewing = null;

/** Return a valid access token, null without a sign-in. Raises an error when it has ended. */
export async function accessToken() {
  const now = stored();
  if (!now || Date.now() < now.ends - EARLY_MS) return now?.access ?? null;
  renewing ??= renew(now).finally(() => {
    renewing = null;
  });
  await renewing;
  return stored()?.access ?? null;
}

async function renew({ refresh }) {
  try {
    await take({ grant_type: "refresh_token", refresh_token: refresh });
  } catch (error) {
    throw error.status === 401 ? failure(401, t("sign_in.over")) : error;
  }
}

/** Store the tokens for a grant. The answer to a refresh may have no new refresh token. */
async function take(grant) {
  if (!pool) throw unread();
  const body = new URLSearchParams({ client_id: pool.client, ...grant });
  const response = await fetch(`${pool.url}/oauth2/token`, { method: "POST", body }).catch(() => null);
  // 429: the pool takes no more calls for now.
  if (!response || response.status === 429 || response.status >= 500) throw failure(0, "unreachable");
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw refused(answer.error_description || answer.error || `HTTP ${response.status}`);
  if (grant.refresh_token && stored()?.refresh !== grant.refresh_token) return; // a sign-out came first
  const ends = Date.now() + 1000 * answer.expires_in;
  const refresh = answer.refresh_token ?? grant.refresh_token;
  sessionStorage.setItem(TOKENS, JSON.stringify({ access: answer.access_token, refresh, ends }));
}
