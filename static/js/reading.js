// Reading two texts without a mouse: to each of them, both at once, one at a time, larger, and
// what differs.

import { hideDifference, showDifference } from "./marks.js";

const LINKED = "prefloop:linked";
const root = document.documentElement;
const pair = () => document.getElementById("pair");
const texts = () => [...document.querySelectorAll(".side .reading")];
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
  const [a, b] = texts();
  const self = event.target;
  if (!root.hasAttribute("data-linked") || (self !== a && self !== b)) return;
  if (Math.abs(self.scrollTop - (led.get(self) ?? -9)) < 2) return;
  led.delete(self);
  const other = self === a ? b : a;
  const room = self.scrollHeight - self.clientHeight;
  const target = Math.round((room > 0 ? self.scrollTop / room : 0) * (other.scrollHeight - other.clientHeight));
  if (Math.abs(other.scrollTop - target) < 1) return;
  led.set(other, target);
  other.scrollTop = target;
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

function difference() {
  const isOn = pair().toggleAttribute("data-difference");
  press("difference", isOn);
  const [a, b] = texts().map((text) => text.querySelector(".rendered"));
  announce(isOn ? showDifference(a, b) : hideDifference(a, b));
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
  d: () => { if (texts().length) difference(); },
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
  document.querySelectorAll("[data-needs-script]").forEach((element) => { element.hidden = false; });
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
