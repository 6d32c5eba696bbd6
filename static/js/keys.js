// The compare page by keyboard: one key an answer, one a flag, Enter to go on.

import { settled } from "./outbox.js";
import { deeds as reading } from "./reading.js";

const pair = () => document.getElementById("pair");
const form = () => document.getElementById("answer");

function isTyping(target) {
  return target.matches?.('textarea, select, [contenteditable], input:not([type="radio"]):not([type="checkbox"])');
}

function rate(n) {
  const cell = form()?.querySelector(`input[name="rating"][value="${n}"]`);
  // A click, not a property: whoever keeps drafts hears the change.
  if (cell) { cell.click(); cell.focus({ preventScroll: true }); }
}

// yes, no, (not applicable,) nothing again; a rating takes the focus and then a digit.
function cycle(flag) {
  const inputs = [...flag.querySelectorAll("input")];
  const place = inputs.findIndex((input) => input.checked);
  if (flag.dataset.kind === "rating_7" || flag.dataset.kind === "confidence") { (inputs[place] ?? inputs[0]).focus(); return; }
  (inputs[place + 1] ?? inputs[place]).click();
  flag.scrollIntoView({ block: "nearest" });
}

// A flag without a letter of its own has a full stop before one.
let isAfterStop = false;

function flagFor(key) {
  const place = key === key.toLowerCase() ? "left" : "right";
  const same = [...document.querySelectorAll(`.flag[data-key="${isAfterStop ? "." : ""}${key.toLowerCase()}"]`)].filter((f) => !f.hidden);
  return same.find((flag) => flag.dataset.place === place) ?? same.find((flag) => !flag.dataset.place);
}

function panel(id) {
  document.getElementById(id)?.togglePopover();
}

function ask(deed) {
  if (!document.querySelector("[popover]:popover-open")) document.dispatchEvent(new CustomEvent(deed));
}

const deeds = {
  c() {
    document.getElementById("comment-field")?.removeAttribute("data-quiet");
    document.getElementById("comment")?.focus();
  },
  e() { form()?.querySelector('[name="is_about_equal"]')?.click(); },
  b() { form()?.querySelector('[name="is_both_bad"]')?.click(); },
  m() { ask("prefloop:mark"); },
  w() { ask("prefloop:rewrite"); },
  s() { if (pair()?.dataset.assignment) panel("skip"); },
  z() { document.querySelector('[data-deed="z"]')?.click(); },
  ","() { document.querySelector('[data-deed=","]')?.click(); },
  g() { panel("guidelines"); },
  h() { panel("keys"); },
  "?"() { panel("keys"); },
  u() { if (pair()) settled().then(() => location.assign(pair().dataset.last)); },
};

function submit(event) {
  if (!form() || event.target.closest?.("a, button, summary, [popover]")) return;
  if (event.target.form && event.target.form !== form()) return;
  if (event.target.id === "comment" && !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  if (!event.repeat) form().requestSubmit();
}

function digit(event) {
  const flag = event.target.closest?.('.flag:is([data-kind="rating_7"], [data-kind="confidence"])');
  const input = flag?.querySelector(`input[value="${event.key}"]`);
  if (input) { input.click(); document.getElementById("asked")?.focus({ preventScroll: true }); }
  else rate(event.key);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter") { submit(event); return; }
  if (event.key === "Escape" && isTyping(event.target)) { event.target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isTyping(event.target)) return;
  if (document.querySelector("#skip:popover-open")) return;
  if (/^[1-8]$/.test(event.key)) { event.preventDefault(); digit(event); return; }
  if (event.key === "Shift") return;
  const flag = /^[a-z]$/i.test(event.key) ? flagFor(event.key) : null;
  const isSequence = isAfterStop;
  isAfterStop = event.key === "." && !isSequence;
  if (isAfterStop || (isSequence && !flag)) { event.preventDefault(); return; }
  const isInText = event.target.matches?.(".reading, .turns") && event.key.startsWith("Page");
  const deed = flag ? () => cycle(flag) : deeds[event.key] ?? (isInText ? null : reading[event.key]);
  if (deed && (!event.repeat || event.key.startsWith("Page"))) { event.preventDefault(); deed(); }
});

document.addEventListener("toggle", (event) => {
  if (event.target.id === "skip" && event.newState === "open") event.target.querySelector("input:not([type=hidden])").focus();
}, true);

document.addEventListener("click", (event) => {
  if (event.target.closest?.(".opens-comment")) deeds.c();
});
