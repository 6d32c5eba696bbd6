// Ranking, rating and writing by keyboard: a digit answers for the card in hand and goes on.

const sheet = document.getElementById("sheet");
const form = document.getElementById("answer");
const cards = [...document.querySelectorAll("[data-card]")];
let here = 0;

const isTyping = (target) => target.matches?.('textarea, input:not([type="radio"]):not([type="checkbox"])');
const chosen = (card) => card.querySelector("input:checked");

function go(index) {
  if (!cards.length) return;
  here = Math.max(0, Math.min(cards.length - 1, index));
  cards.forEach((card, place) => card.classList.toggle("is-here", place === here));
  cards[here].querySelector(".reading").focus({ preventScroll: true });
  cards[here].scrollIntoView({ block: "nearest" });
}

function choose(digit) {
  const input = cards[here]?.querySelector(`input[value="${digit}"]`);
  if (!input) return;
  input.checked = true;
  tell();
  const open = [...cards.keys()].filter((place) => !chosen(cards[place]));
  if (open.length) go(open.find((place) => place > here) ?? open[0]);
}

// The order as it stands, in words that a screen reader hears as well: A > C = D > B.
function tell() {
  const line = document.getElementById("so-far");
  if (!line) return;
  const ranks = new Map();
  for (const card of cards) {
    const rank = Number(chosen(card)?.value ?? 0);
    if (rank) ranks.set(rank, [...(ranks.get(rank) ?? []), card.dataset.letter]);
  }
  const places = [...ranks.keys()].sort((one, other) => one - other);
  const missing = cards.filter((card) => !chosen(card)).length;
  const order = places.map((rank) => ranks.get(rank).join(" = ")).join(" > ");
  if (order) line.textContent = missing ? `${order} · ${missing} without a rank` : order;
}

function submit(event) {
  if (!form || event.repeat || event.target.closest?.("a, summary, [popover]")) return;
  const isForced = event.ctrlKey || event.metaKey;
  if (!isForced && (isTyping(event.target) || event.target.closest?.("button"))) return;
  event.preventDefault();
  form.requestSubmit();
}

const deeds = {
  j: () => go(here + 1),
  k: () => go(here - 1),
  c: () => document.getElementById("comment")?.focus(),
  w: () => document.getElementById("text")?.focus(),
  ",": () => document.querySelector('[data-deed=","]')?.click(),
  s: () => document.getElementById("skip")?.togglePopover(),
  g: () => document.getElementById("guidelines")?.togglePopover(),
  "?": () => document.getElementById("keys")?.togglePopover(),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter") { submit(event); return; }
  if (event.key === "Escape" && isTyping(event.target)) { event.target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isTyping(event.target)) return;
  if (document.querySelector("#skip:popover-open")) return;
  const card = cards.findIndex((one) => event.shiftKey && one.dataset.letter === event.key);
  const deed = /^[1-9]$/.test(event.key) ? () => choose(event.key) : card >= 0 ? () => go(card) : deeds[event.key];
  if (deed && !event.repeat) { event.preventDefault(); deed(); }
});

// Not by autofocus: browsers look for that when the page loads, and find the field in use.
document.addEventListener("toggle", (event) => {
  if (event.newState === "open") event.target.querySelector("input[type=radio], button")?.focus();
}, true);

document.addEventListener("change", tell);
document.addEventListener("focusin", (event) => {
  const card = cards.findIndex((one) => one.contains(event.target));
  if (card < 0) return;
  here = card;
  cards.forEach((one, place) => one.classList.toggle("is-here", place === here));
});

// A double click must not send two forms; what is not sent asks before it is left.
let isSent = false;
form?.addEventListener("submit", (event) => {
  if (isSent) event.preventDefault();
  isSent = true;
});
window.addEventListener("pageshow", () => { isSent = false; });
window.addEventListener("beforeunload", (event) => {
  const isBegun = [...(form?.querySelectorAll("textarea") ?? [])].some((area) => area.value !== area.defaultValue);
  if (isBegun && !isSent && !document.querySelector("#skip:popover-open")) event.preventDefault();
});

function renew() {
  const { assignment, lease, renew: url } = sheet?.dataset ?? {};
  if (!assignment) return;
  setTimeout(renew, (Number(lease) * 1000) / 3);
  if (document.hidden || document.documentElement.hasAttribute("data-idle")) return;
  const csrf = document.querySelector('input[name="csrf_token"]').value;
  fetch(url, { method: "POST", body: new URLSearchParams({ assignment_id: assignment, csrf_token: csrf }) }).catch(() => {});
}

if (sheet?.dataset.assignment) {
  setTimeout(renew, (Number(sheet.dataset.lease) * 1000) / 3);
  if (cards.length) go(0);
  else document.getElementById("text")?.focus();
}
