// Answers that could not be sent wait in this browser, survive its closing, and are sent in order
// when the server is there again. Their idempotency key makes a second sending harmless. One that
// the server refuses stays here with its text until the annotator has read it.

import { pairIn, post, renew, wordsOf } from "./sending.js";

const KEY = "prefloop.outbox";
const AGAIN_MS = 4000;
// Signed out, an old form token, or a proxy without its server: sending again later may succeed.
const LATER = new Set([401, 403, 408, 429, 502, 503, 504]);

let state = { isThere: true, since: null, why: "" };
let timer;
let turn = Promise.resolve();

const pair = () => document.getElementById("pair");
const person = () => pair()?.dataset.person ?? document.getElementById("outbox")?.dataset.person;

function read() {
  try { return JSON.parse(localStorage.getItem(KEY)) ?? []; } catch { return []; }
}

function write(entries) {
  try { localStorage.setItem(KEY, JSON.stringify(entries)); } catch { return false; }
  tell();
  return true;
}

function tell() {
  document.dispatchEvent(new CustomEvent("prefloop:outbox", { detail: { ...state, entries: read(), person: person() } }));
}

function connection(isThere, why = "") {
  state = { isThere, why, since: isThere ? null : state.since ?? Date.now() };
  tell();
}

const mine = () => read().filter((entry) => entry.person === person() && !entry.refusal);
export const isEmpty = () => mine().length === 0;
const drop = (id) => write(read().filter((entry) => entry.id !== id));

function mark(id, values) {
  write(read().map((entry) => (entry.id === id ? { ...entry, ...values } : entry)));
}

// The same pair again replaces what waits for it: the page's last word counts.
export function put(url, body) {
  const fields = body.filter(([name, value]) => name !== "csrf_token" && typeof value === "string");
  const given = Object.fromEntries(fields);
  const id = given.assignment_id;
  if (!id) return false; // A conversation waits for its answer, so nothing can be sent behind it.
  const entry = { id, person: person(), url, collect: pair().dataset.collect, fields, at: Date.now(), refusal: "" };
  const isKept = write([...read().filter((one) => one.id !== id), entry]);
  if (isKept) schedule();
  return isKept;
}

function schedule(wait = AGAIN_MS) {
  clearTimeout(timer);
  if (mine().length) timer = setTimeout(flush, wait);
}

// True where the next one may be tried.
async function send(entry) {
  let response = await post(entry);
  if (response && (response.status === 403 || response.status === 401)) {
    const why = await renew(entry);
    if (why) { connection(why !== "No connection", why); return false; }
    response = await post(entry);
  }
  if (!response || (LATER.has(response.status) && response.status !== 403)) {
    connection(false);
    return false;
  }
  connection(true);
  if (response.ok && response.headers.get("Prefloop-Kept") === entry.id) {
    const pair = await pairIn(response).catch(() => null);
    drop(entry.id);
    document.dispatchEvent(new CustomEvent("prefloop:kept", { detail: { assignment: entry.id, answer: response.headers.get("Prefloop-Answer"), isLate: true, pair } }));
    return true;
  }
  // A page from elsewhere (a hotel's sign-in, say) is no yes and no refusal.
  if (response.ok) { connection(false); return false; }
  const refusal = await wordsOf(response);
  // Whoever can show it where it was written takes it back.
  if (document.dispatchEvent(new CustomEvent("prefloop:refused", { cancelable: true, detail: { assignment: entry.id, refusal } }))) mark(entry.id, { refusal });
  else drop(entry.id);
  return true;
}

async function sendAll() {
  for (let entry; (entry = mine()[0]); ) if (!(await send(entry))) break;
  schedule();
}

// Two tabs take turns where the browser can lock; where it cannot, the server sees doubles.
const locked = () => (navigator.locks ? navigator.locks.request(KEY, sendAll) : sendAll());

// All that waits, in order; over when it is sent or has to wait on.
export function flush() {
  clearTimeout(timer);
  turn = turn.then(locked, locked);
  return turn;
}

// Whoever leaves for what was just answered waits for it to be there, but not for a lost connection.
export const settled = () => Promise.race([turn, new Promise((done) => setTimeout(done, 1000))]);

function lost(ctx) {
  const isOurs = ctx?.sourceElement?.closest?.("#pair") && ctx.request?.method === "POST";
  if (isOurs && put(ctx.request.action, [...(ctx.request.body ?? [])])) ctx.sourceElement.dataset.waiting = "yes";
}

document.addEventListener("htmx:error", (event) => {
  if (!event.detail?.ctx) return;
  connection(false);
  lost(event.detail.ctx);
});
document.addEventListener("htmx:response:error", (event) => {
  if (LATER.has(event.detail.ctx.response.status)) lost(event.detail.ctx);
});
document.addEventListener("htmx:after:swap", (event) => {
  const { headers } = event.detail?.ctx?.response ?? {};
  const assignment = headers?.get?.("Prefloop-Kept");
  if (!assignment) return;
  connection(true);
  drop(assignment);
  document.dispatchEvent(new CustomEvent("prefloop:kept", { detail: { assignment, answer: headers.get("Prefloop-Answer") } }));
});
document.addEventListener("prefloop:connection", (event) => {
  if (event.detail.isThere !== state.isThere) connection(event.detail.isThere);
});
document.addEventListener("prefloop:discard", (event) => drop(event.detail.id));
document.addEventListener("prefloop:send", () => {
  read().filter((entry) => entry.person === person()).forEach((entry) => mark(entry.id, { refusal: "" }));
  flush();
});
window.addEventListener("offline", () => connection(false));
window.addEventListener("online", () => { connection(true); flush(); });
window.addEventListener("storage", (event) => { if (event.key === KEY) tell(); });
tell();
flush();
