// A conversation: where the focus goes, what is typed stays, and the keys that the compare page
// does not have.

import { say } from "./toasts.js";

const pair = () => document.getElementById("pair");
const words = () => document.getElementById("words");
const stage = () => pair()?.dataset.stage;
const isTyping = (target) => target.matches?.('textarea, input:not([type="radio"]):not([type="checkbox"])');

// What is typed is kept in this browser until it is sent, by conversation and turn.
const key = () => `prefloop:talk:${pair().dataset.place}`;

function keep() {
  try {
    if (words().value) localStorage.setItem(key(), words().value);
    else localStorage.removeItem(key());
  } catch { /* this page only */ }
}

function restore() {
  let kept = "";
  try { kept = localStorage.getItem(key()) ?? ""; } catch { /* nothing kept */ }
  if (kept) words().value = kept;
}

// Of the messages of a conversation that went on, none is a draft any more.
function forget(name) {
  try { localStorage.removeItem(name); } catch { /* nothing kept */ }
}

function measure() {
  const area = words();
  const line = document.getElementById("length");
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 4}px`;
  const n = area.value.length;
  const most = Number(line.dataset.most);
  line.textContent = n > most * 0.8 ? `${n.toLocaleString("en")} of ${most.toLocaleString("en")} characters` : "";
  line.classList.toggle("is-over", n >= most);
}

function begin() {
  document.querySelector(".turns")?.scrollTo(0, document.querySelector(".turns").scrollHeight);
  if (!words()) return;
  restore();
  measure();
  words().focus({ preventScroll: true });
  words().setSelectionRange(words().value.length, words().value.length);
}

const said = {
  choose: "Two answers are here. Rate them with 1 to 8.",
  write: "Your turn.",
  begin: "A new conversation.",
  wait: "Sent. The model is writing.",
};

let before = stage();

function settle() {
  begin();
  const now = stage();
  if (now !== before) {
    document.getElementById("announcement").textContent = said[now] ?? "";
    document.dispatchEvent(new CustomEvent("prefloop:pair"));
    if (now === "choose") document.getElementById("asked").focus({ preventScroll: true });
    (document.querySelector(".answer-bar, .say, .writes, .failed") ?? pair()).scrollIntoView({ block: now === "choose" ? "nearest" : "end" });
  }
  before = now;
}

const isPoll = (event) => event.detail?.ctx?.sourceElement?.matches("[data-waits]");
let sent = "";

document.addEventListener("htmx:before:request", (event) => {
  if (isPoll(event)) return;
  sent = words() ? key() : "";
  pair().setAttribute("aria-busy", "true");
});
document.addEventListener("htmx:finally:request", () => pair()?.removeAttribute("aria-busy"));
document.addEventListener("htmx:after:swap", (event) => {
  const status = event.detail?.ctx?.response?.raw?.status ?? 200;
  if (status >= 400) return;
  if (sent && stage() === "wait") forget(sent);
  document.querySelectorAll("#toasts .is-danger").forEach((toast) => toast.remove());
  settle();
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail?.ctx && !isPoll(event)) say("No connection to the server. What you wrote is still here: send it again.");
});

document.addEventListener("input", (event) => {
  if (event.target !== words()) return;
  keep();
  measure();
});

// Not by autofocus: browsers look for that when the page loads, and find the field in use.
document.addEventListener("toggle", (event) => {
  if (event.newState === "open") event.target.querySelector("button")?.focus();
}, true);

const press = (name) => document.querySelector(`[data-deed="${name}"]`)?.click();

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.repeat) return;
  if (event.key === "Enter") {
    const isSaid = event.target === words() && (event.ctrlKey || event.metaKey);
    if (isSaid) { event.preventDefault(); document.getElementById("say").requestSubmit(); }
    else if (stage() === "failed" && !event.target.closest?.("a, button")) document.querySelector("[data-again]").click();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || event.defaultPrevented) return;
  if (event.key === "w" && words()) { event.preventDefault(); words().focus(); }
  if ("nxt".includes(event.key) && document.querySelector(`[data-deed="${event.key}"]`)) { event.preventDefault(); press(event.key); }
});

begin();
document.dispatchEvent(new CustomEvent("prefloop:pair"));
