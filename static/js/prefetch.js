// The next pair is fetched while this one is read, and shown at the press of the key. The answer goes
// through the outbox, so that nothing is lost on the way, and its response brings the pair after.

import { flush, isEmpty, put } from "./outbox.js";
import { pairIn } from "./sending.js";
import { say } from "./toasts.js";

const AGAIN_MS = 5000;
// The lease ahead is not trusted to its last seconds: clocks and networks differ.
const TRUSTED = 0.8;
const PAGE_NONCE = document.querySelector("script[nonce]")?.nonce ?? "";

let next = null; // the pair after this one, and until when it is held
let left = null; // the pair that was answered last, until the server has taken the answer
let sending = false;
let waiting = null; // a form that was submitted meanwhile
let touched = "";
let timer;

const pair = () => document.getElementById("pair");
const form = () => document.getElementById("answer");
const isOpen = () => Boolean(form() && pair().dataset.assignment);
const isNow = () => !document.hidden && !document.documentElement.hasAttribute("data-idle");

function hold(found) {
  clearTimeout(timer);
  const ms = Number(pair().dataset.ahead) * 1000 * TRUSTED;
  next = found?.ahead ? { ...found, until: Date.now() + ms } : null;
  if (!next) return;
  timer = setTimeout(renew, ms);
  document.dispatchEvent(new CustomEvent("prefloop:ahead", { detail: next }));
}

// What was fetched for somebody who then left is let go, and fetched again when they are back.
function renew() {
  hold(null);
  if (isNow()) ask();
  else timer = setTimeout(renew, AGAIN_MS);
}

async function ask() {
  const { assignment, collect } = pair()?.dataset ?? {};
  if (!isOpen() || !assignment || sending || !isEmpty()) return;
  const body = new URLSearchParams({ assignment_id: assignment, csrf_token: form().elements.csrf_token.value });
  const response = await fetch(`${collect}/prefetches`, { method: "POST", body, headers: { Accept: "application/problem+json" } }).catch(() => null);
  const found = response?.ok && !response.redirected ? await pairIn(response).catch(() => null) : null;
  if (!sending && pair()?.dataset.assignment === assignment) hold(found);
}

// As hx-csp does with what htmx fetches: no element of the text may carry the page's own nonce.
function turnTo({ html, nonce }) {
  const clean = html.replaceAll(PAGE_NONCE, "");
  const text = nonce ? clean.replaceAll(`nonce="${nonce}"`, `nonce="${PAGE_NONCE}"`) : clean;
  return htmx.swap({ text, sourceElement: document.body, target: pair(), swap: "outerHTML" });
}

// What the server would surely refuse is left to the server to say, with the pair still there.
const isComplete = () => [...document.querySelectorAll("#pair .flag:has(.needed)")].every((flag) => flag.hidden || flag.querySelector(":checked"));

function turn() {
  const body = [...new FormData(form()), ["shown", next.ahead]];
  if (!put(form().getAttribute("action"), body)) return false;
  left = { assignment: pair().dataset.assignment, element: pair(), next };
  next = null;
  turnTo(left.next);
  send();
  return true;
}

async function send() {
  sending = true;
  await flush();
  sending = false;
  const again = waiting;
  waiting = null;
  if (again?.isConnected) again.requestSubmit();
  else if (!next) ask();
}

// Behind answers that wait this one waits too: they go in order.
function queue() {
  if (!put(form().getAttribute("action"), [...new FormData(form())])) return false;
  form().dataset.waiting = "yes";
  send();
  return true;
}

function submitted(event) {
  const isAnswer = event.target === form() && isOpen();
  if (!isAnswer && event.target.id !== "skip-form") return;
  if (sending) waiting = event.target;
  else if (!isAnswer) return;
  else if (!(next && Date.now() < next.until && isComplete() ? turn() : !isEmpty() && queue())) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}

function kept({ detail }) {
  if (detail.assignment !== left?.assignment) return;
  const here = pair()?.dataset.assignment;
  const isHere = here === left.next.ahead;
  left = null;
  if (!isHere || !detail.pair) return;
  if (detail.pair.current === here) hold(detail.pair);
  // It was given to others meanwhile. Whoever has begun it may finish it: a late answer is kept.
  else if (touched !== here && detail.pair.html) turnTo(detail.pair);
}

// The answer comes back to where it was written, unless the pair after it has been begun.
function refused(event) {
  const { assignment, refusal } = event.detail;
  const here = pair()?.dataset.assignment;
  if (assignment !== left?.assignment || here !== left.next.ahead || touched === here) return;
  event.preventDefault();
  const { element } = left;
  ({ next } = left);
  left = null;
  delete element.dataset.draft;
  pair().replaceWith(element);
  htmx.process(element);
  for (const name of ["pair", "restored"]) document.dispatchEvent(new CustomEvent(`prefloop:${name}`));
  say(refusal);
}

function began() {
  if (!sending) renew();
}

document.addEventListener("submit", submitted, true);
document.addEventListener("prefloop:kept", kept);
document.addEventListener("prefloop:refused", refused);
document.addEventListener("prefloop:pair", began);
for (const deed of ["input", "change"]) {
  document.addEventListener(deed, (event) => { if (event.target.form?.id === "answer") touched = pair()?.dataset.assignment ?? ""; });
}
new BroadcastChannel("prefloop").addEventListener("message", (event) => { if (event.data.assignment === next?.ahead) hold(null); });
began();
