// Ranking, rating and writing by keyboard: a digit answers for the card in hand and goes on.

import { deeds as reading } from "./reading.js";

const pair = () => document.getElementById("pair");
const form = () => document.getElementById("answer");
const cards = () => [...document.querySelectorAll("[data-card]")];
let here = 0;

const isTyping = (target) => target.matches?.('textarea, input:not([type="radio"]):not([type="checkbox"])');
const chosen = (card) => card.querySelector("input:checked");

function stand(index) {
  here = index;
  cards().forEach((card, place) => card.classList.toggle("is-here", place === here));
}

function go(index) {
  const all = cards();
  if (!all.length) return;
  stand(Math.max(0, Math.min(all.length - 1, index)));
  all[here].querySelector(".reading").focus({ preventScroll: true });
  all[here].scrollIntoView({ block: "nearest" });
}

function choose(digit) {
  const all = cards();
  const input = all[here]?.querySelector(`input[value="${digit}"]`);
  if (!input) return;
  // A click, not a property: whoever keeps drafts hears the change.
  input.click();
  const open = [...all.keys()].filter((place) => !chosen(all[place]));
  if (open.length) go(open.find((place) => place > here) ?? open[0]);
}

// The order as it stands, in words that a screen reader hears as well: A > C = D > B.
function tell() {
  const line = document.getElementById("so-far");
  if (!line) return;
  const ranks = new Map();
  for (const card of cards()) {
    const rank = Number(chosen(card)?.value ?? 0);
    if (rank) ranks.set(rank, [...(ranks.get(rank) ?? []), card.dataset.letter]);
  }
  const places = [...ranks.keys()].sort((one, other) => one - other);
  const missing = cards().filter((card) => !chosen(card)).length;
  const order = places.map((rank) => ranks.get(rank).join(" = ")).join(" > ");
  if (order) line.textContent = missing ? `${order} · ${missing} without a rank` : order;
}

function submit(event) {
  if (!form() || event.repeat || event.target.closest?.("a, summary, [popover]")) return;
  const isForced = event.ctrlKey || event.metaKey;
  if (!isForced && (isTyping(event.target) || event.target.closest?.("button"))) return;
  event.preventDefault();
  form().requestSubmit();
}

const toggle = (id) => document.getElementById(id)?.togglePopover();

const deeds = {
  j: () => go(here + 1),
  k: () => go(here - 1),
  c: () => document.getElementById("comment")?.focus(),
  w: () => document.getElementById("text")?.focus(),
  0: reading[9],
  ",": () => document.querySelector('[data-deed=","]')?.click(),
  s: () => { if (pair()?.dataset.assignment) toggle("skip"); },
  z: () => document.querySelector('[data-deed="z"]')?.click(),
  g: () => toggle("guidelines"),
  u: () => location.assign(pair().dataset.last),
  "?": () => toggle("keys"),
};
for (const key of ["d", "+", "=", "-", "PageDown", "PageUp"]) deeds[key] = reading[key];

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter") { submit(event); return; }
  if (event.key === "Escape" && isTyping(event.target)) { event.target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isTyping(event.target)) return;
  if (document.querySelector("#skip:popover-open")) return;
  const card = cards().findIndex((one) => event.shiftKey && one.dataset.letter === event.key);
  const deed = /^[1-9]$/.test(event.key) ? () => choose(event.key) : card >= 0 ? () => go(card) : deeds[event.key];
  if (deed && (!event.repeat || event.key.startsWith("Page"))) { event.preventDefault(); deed(); }
});

// Not by autofocus: browsers look for that when the page loads, and find the field in use.
document.addEventListener("toggle", (event) => {
  if (event.newState === "open") event.target.querySelector("input:is([type=radio], [name=other]), button")?.focus();
}, true);

document.addEventListener("change", tell);
document.addEventListener("prefloop:restored", tell);
document.addEventListener("focusin", (event) => {
  const card = cards().findIndex((one) => one.contains(event.target));
  if (card >= 0) stand(card);
});

function begin() {
  stand(0);
  tell();
}

document.addEventListener("prefloop:pair", begin);
begin();
document.querySelector("#pair [data-focus]")?.focus({ preventScroll: true });
