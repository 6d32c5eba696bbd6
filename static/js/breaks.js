// A break is suggested when the active time since the last one has reached the project's limit: as a
// line above a pair that has just come, never in the midst of one. Ten minutes away are a break.

import { sitting } from "./timer.js";

const AWAY_MS = 600_000;
const LOOK_MS = 15_000;

const pair = () => document.getElementById("pair") ?? document.getElementById("sheet");
const line = () => document.getElementById("break");
const key = () => `prefloop.sitting.${pair()?.dataset.person ?? ""}`;

// What earlier pages of this sitting have counted; a browser that keeps nothing counts this page.
let before = 0;
let counted = 0;
let lastActive = Date.now();

function read() {
  try {
    const { ms, at } = JSON.parse(localStorage.getItem(key())) ?? {};
    return at > Date.now() - AWAY_MS ? { ms, at } : { ms: 0, at: Date.now() };
  } catch { return { ms: 0, at: Date.now() }; }
}

function keep() {
  try { localStorage.setItem(key(), JSON.stringify({ ms: total(), at: lastActive })); } catch { /* Counted on this page alone. */ }
}

const total = () => before + sitting.ms - counted;

function restart() {
  before = 0;
  counted = sitting.ms;
  lastActive = Date.now();
  keep();
}

// Whoever was away long enough has had the break.
let seen = 0;
function look() {
  if (sitting.ms === seen) return;
  seen = sitting.ms;
  if (Date.now() - lastActive > AWAY_MS) restart();
  lastActive = Date.now();
  keep();
}

function suggest() {
  look();
  const limit = Number(pair()?.dataset.break) * 60_000;
  if (!line()) return;
  const { assignment, draft } = pair()?.dataset ?? {};
  const isDue = limit > 0 && assignment && !draft && total() >= limit;
  line().hidden = !isDue;
  if (isDue) line().querySelector("[data-minutes]").textContent = String(Math.round(total() / 60_000));
}

function dismiss() {
  restart();
  line().hidden = true;
  document.getElementById("asked")?.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  if (event.target.closest?.("#break [data-later]")) dismiss();
  // The form beside it gives the pair back and leads away; the count begins anew after it.
  else if (event.target.closest?.("#break [data-now]")) restart();
});
document.addEventListener("prefloop:pair", suggest);
window.addEventListener("pagehide", look);
setInterval(look, LOOK_MS);

({ ms: before, at: lastActive } = read());
suggest();
