// Active seconds: while the page is in front and someone has moved, typed or scrolled within two
// minutes. Counted in small ticks, so that a laptop that slept adds one tick and not a night.

const IDLE_MS = 120_000;
const TICK_MS = 250;

let activeMs = 0;
let lastTick = performance.now();
let lastDeed = performance.now();

function isActive(now) {
  return document.visibilityState === "visible" && document.hasFocus() && now - lastDeed < IDLE_MS;
}

function tick() {
  const now = performance.now();
  if (isActive(now)) activeMs += Math.min(now - lastTick, 4 * TICK_MS);
  lastTick = now;
  // Whoever keeps a lease alive asks this first.
  document.documentElement.toggleAttribute("data-idle", now - lastDeed >= IDLE_MS);
}

for (const deed of ["pointermove", "pointerdown", "keydown", "scroll", "wheel", "touchstart"]) {
  document.addEventListener(deed, () => { lastDeed = performance.now(); }, { passive: true, capture: true });
}
setInterval(tick, TICK_MS);

// Before anyone reads the form: this listener runs in the capturing phase.
document.addEventListener("submit", (event) => {
  const field = event.target.querySelector?.('input[name="seconds"]');
  if (!field) return;
  tick();
  field.value = (activeMs / 1000).toFixed(1);
}, true);

document.addEventListener("prefloop:pair", () => {
  activeMs = 0;
  lastTick = lastDeed = performance.now();
});
