// Reading two texts without a mouse: to each of them, both at once, one at a time, larger, and
// what differs.

import { hideDifference, showDifference } from "./marks.js";

const LINKED = "prefloop:linked";
const root = document.documentElement;
const pair = () => document.getElementById("pair");
const texts = () => [...document.querySelectorAll(":is(.side, [data-card]) .reading")];
const isNarrow = () => matchMedia("(max-width: 56.2rem)").matches;
const led = new WeakMap(); // where a linked scroll put a text, whose own event is then no wish

export function announce(words) {
  document.getElementById("announcement").textContent = words;
}

function press(name, isOn) {
  document.querySelector(`[data-reading="${name}"]`)?.setAttribute("aria-pressed", String(isOn));
}

function remember(isOn) {
  try { localStorage.setItem(LINKED, isOn ? "yes" : ""); } catch { /* this page only */ }
}

function isRemembered() {
  try { return localStorage.getItem(LINKED) === "yes"; } catch { return false; }
}

function link(isOn) {
  root.toggleAttribute("data-linked", isOn);
  press("link", isOn);
}

function follow(event) {
  const self = event.target;
  if (!root.hasAttribute("data-linked") || !texts().includes(self)) return;
  if (Math.abs(self.scrollTop - (led.get(self) ?? -9)) < 2) return;
  led.delete(self);
  const room = self.scrollHeight - self.clientHeight;
  const share = room > 0 ? self.scrollTop / room : 0;
  for (const other of texts().filter((one) => one !== self)) {
    const target = Math.round(share * (other.scrollHeight - other.clientHeight));
    if (Math.abs(other.scrollTop - target) < 1) continue;
    led.set(other, target);
    other.scrollTop = target;
  }
}

// "a", "b" or "" for both.
function showOne(side) {
  if (side) root.dataset.side = side; else delete root.dataset.side;
  for (const name of ["", "a", "b"]) press(`show-${name}`, name === side);
}

function next() {
  if (isNarrow()) {
    showOne(root.dataset.side === "a" ? "b" : "a");
    announce(`Answer ${root.dataset.side.toUpperCase()}`);
  }
  const places = [...texts(), document.querySelector(".turns")].filter((place) => place?.checkVisibility());
  const at = places.indexOf(document.activeElement);
  const place = isNarrow() ? places[0] : places[(at + 1) % places.length];
  place?.focus({ preventScroll: !isNarrow() });
}

function scrollBoth(direction) {
  for (const text of texts()) text.scrollTop += direction * text.clientHeight * 0.85;
}

// The two sides; of many cards the one in hand and the next, or at the end the one before.
let shown = [];
function two() {
  const cards = [...document.querySelectorAll("[data-card]")];
  if (!cards.length) return texts();
  const here = Math.min(Math.max(0, cards.findIndex((card) => card.matches(".is-here"))), cards.length - 2);
  return [cards[here], cards[here + 1]].map((card) => card.querySelector(".reading"));
}

function difference() {
  const isOn = pair().toggleAttribute("data-difference");
  press("difference", isOn);
  if (isOn) shown = two().map((text) => text.querySelector(".rendered"));
  const names = shown.map((text) => text.closest("[data-letter]")?.dataset.letter);
  announce(isOn ? showDifference(...shown, names[0] ? names : undefined) : hideDifference(...shown));
}

function resize(by) {
  const step = window.changeTextSize(by);
  announce(step === 0 ? "Text size: as it comes" : `Text size: ${step > 0 ? "+" : "−"}${Math.abs(step)}`);
}

export const deeds = {
  0: next,
  9() {
    const isOn = !root.hasAttribute("data-linked");
    link(isOn);
    remember(isOn);
    announce(isOn ? "The two texts scroll together." : "Each text scrolls for itself.");
  },
  d: () => { if (texts().length > 1) difference(); },
  "+": () => resize(1),
  "=": () => resize(1),
  "-": () => resize(-1),
  PageDown: () => scrollBoth(1),
  PageUp: () => scrollBoth(-1),
};

const buttons = {
  link: deeds[9], difference: deeds.d, larger: deeds["+"], smaller: deeds["-"],
  "show-": () => showOne(""), "show-a": () => showOne("a"), "show-b": () => showOne("b"),
};

function begin() {
  link(isRemembered());
  showOne(root.dataset.side ?? "");
}

document.addEventListener("scroll", follow, { capture: true, passive: true });
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-reading]");
  if (button) buttons[button.dataset.reading]?.();
});
document.addEventListener("prefloop:pair", begin);
begin();
