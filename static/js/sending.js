// How an answer that waits is sent: as often as it takes, by its author, with the newest form token.

const PATIENCE_MS = 20_000;
// What a request may carry past the end of its page.
const MOST_KEPT_ALIVE = 60_000;

let token = "";

const shownToken = () => document.querySelector('input[name="csrf_token"]')?.value ?? "";

// Null where nobody answered. How long ago the page turned is said anew each time.
export function post(entry) {
  const ago = ["shown_for", String(Math.max(0, Date.now() - entry.at) / 1000)];
  const body = new URLSearchParams([...entry.fields, ago, ["csrf_token", token || shownToken()]]);
  const headers = { Accept: "application/problem+json", "HX-Request": "true" };
  const keepalive = body.toString().length < MOST_KEPT_ALIVE;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  return fetch(entry.url, { method: "POST", body, headers, keepalive, signal }).catch(() => null);
}

// Who signed in again has a new form token, and may be someone else: ask a fresh page.
export async function renew(entry) {
  const response = await fetch(entry.collect).catch(() => null);
  if (!response || response.status >= 500) return "No connection";
  const page = await response.text();
  if (new URL(response.url).pathname === "/sign-in") return "signed out";
  const found = page.match(/id="outbox"[^>]*data-person="([^"]+)"/)?.[1];
  if (found !== entry.person) return "someone else";
  token = page.match(/name="csrf_token" value="([^"]+)"/)?.[1] ?? "";
  return "";
}

export async function wordsOf(response) {
  const problem = await response.json().catch(() => ({}));
  return problem.detail ?? `The server refused it with the number ${response.status}.`;
}

// A pair as it came, with its nonce, for whoever turns the page to it.
export async function pairIn(response) {
  const { headers } = response;
  const nonce = headers.get("Content-Security-Policy")?.match(/'nonce-([^']+)'/)?.[1] ?? "";
  const html = await response.text();
  return { html, nonce, ahead: headers.get("Prefloop-Ahead"), current: headers.get("Prefloop-Current") };
}
