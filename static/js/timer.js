// Active seconds, in all and by control: while the page is in front and someone has moved, typed or
// scrolled within two minutes. Counted in small ticks, so that a laptop that slept adds one tick and
// not a night; each tick goes to one control, so that nothing is counted twice.

const IDLE_MS = 120_000;
const TICK_MS = 250;

// Active time on this page, whatever pair it went to; a draft that comes back adds nothing to it.
export const sitting = { ms: 0 };

let activeMs = 0;
let byControl = {};
let control = "";
let pointer = null;
let lastTick = performance.now();
let lastDeed = performance.now();

function isActive(now) {
  return document.visibilityState === "visible" && document.hasFocus() && now - lastDeed < IDLE_MS;
}

// The name that the server knows a part of the page by; empty for the parts between.
function controlOf(element) {
  const flag = element?.closest?.(".flag[data-flag]");
  if (flag) return `flag.${flag.dataset.flag}${flag.dataset.place ? `.${flag.dataset.place}` : ""}`;
  const card = element?.closest?.("[data-card]");
  if (card) {
    const id = card.querySelector('input[name^="choice."]').name.slice("choice.".length);
    return `${element.closest(".numbers") ? "rating" : "completion"}.${id}`;
  }
  const places = { ".written": "text", ".comment": "comment", ".conversation": "prompt", ".side-a": "left", ".side-b": "right", ".answer-bar": "rating" };
  const found = Object.keys(places).find((place) => element?.closest?.(place));
  return found ? places[found] : "";
}

function tick() {
  const now = performance.now();
  if (isActive(now)) {
    const spent = Math.min(now - lastTick, 4 * TICK_MS);
    activeMs += spent;
    sitting.ms += spent;
    if (control) byControl[control] = (byControl[control] ?? 0) + spent;
  }
  lastTick = now;
  // Whoever keeps a lease alive asks this first.
  document.documentElement.toggleAttribute("data-idle", now - lastDeed >= IDLE_MS);
}

// What the hands do decides; what went before belongs to the control before.
function turnTo(element) {
  const next = controlOf(element);
  if (!next || next === control) return;
  tick();
  control = next;
}

function write(form) {
  const { seconds, times } = form?.elements ?? {};
  if (!seconds) return;
  tick();
  seconds.value = (activeMs / 1000).toFixed(2);
  // Cut, not rounded: the parts must not sum to more than the whole.
  if (times) {
    times.value = Object.entries(byControl).map(([name, ms]) => `${name}:${Math.floor(ms / 10) / 100}`).join(",");
  }
}

for (const deed of ["pointermove", "pointerdown", "keydown", "scroll", "wheel", "touchstart"]) {
  document.addEventListener(deed, () => { lastDeed = performance.now(); }, { passive: true, capture: true });
}
for (const deed of ["pointermove", "pointerdown", "wheel"]) {
  document.addEventListener(deed, (event) => {
    pointer = event;
    turnTo(event.target);
  }, { passive: true, capture: true });
}
document.addEventListener("keydown", () => { pointer = null; }, true);
for (const deed of ["focusin", "input", "change"]) {
  document.addEventListener(deed, (event) => turnTo(event.target), true);
}
setInterval(tick, TICK_MS);

// Before anyone reads the form: these listeners run in the capturing phase.
document.addEventListener("submit", (event) => write(event.target), true);
document.addEventListener("prefloop:measure", () => write(document.getElementById("answer")), true);

document.addEventListener("prefloop:pair", () => {
  activeMs = 0;
  byControl = {};
  lastTick = lastDeed = performance.now();
  control = pointer ? controlOf(document.elementFromPoint(pointer.clientX, pointer.clientY)) : "";
});

// A draft brings its time along. The longer of the two counts, never their sum.
document.addEventListener("prefloop:restored", () => {
  const { seconds, times } = document.getElementById("answer")?.elements ?? {};
  if (!(Number(seconds?.value) * 1000 > activeMs)) return;
  activeMs = Number(seconds.value) * 1000;
  byControl = Object.fromEntries((times?.value ?? "").split(",").filter(Boolean).map((part) => {
    const [name, spent] = part.split(":");
    return [name, Number(spent) * 1000];
  }));
});
