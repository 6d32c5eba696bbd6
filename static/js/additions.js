// Beside the rating: a rewrite of the better answer, opened by its key with the text to begin from,
// and marks on sentences: j and k move, a digit gives the reason, Shift with j or k extends.

const field = () => document.getElementById("rewrite-field");
const area = () => document.getElementById("rewrite");
const raw = (place) => document.querySelector(`[data-raw="${place}"]`)?.value ?? "";

function better() {
  const rating = Number(document.querySelector('#answer input[name="rating"]:checked')?.value ?? 0);
  return rating ? (rating <= 4 ? "left" : "right") : null;
}

const isTouched = () => area().value !== "" && area().value !== raw("left") && area().value !== raw("right");

function hint(words) {
  document.getElementById("rewrite-hint").textContent = words;
}

// The text that is edited follows the rating until somebody has begun to edit it.
function follow() {
  if (!field() || field().hasAttribute("data-quiet")) return;
  const place = better();
  if (!place) { hint("Rate the pair first; then the better answer stands here."); return; }
  if (!isTouched()) area().value = raw(place);
  hint(`It begins from answer ${place === "left" ? "A" : "B"}. Ctrl Enter submits.`);
}

function open() {
  if (!field()) return;
  field().removeAttribute("data-quiet");
  follow();
  area().focus();
}

// Closed where nothing is written yet; a rewrite that a draft brought back is shown.
function begin() {
  const isWritten = Boolean(field() && isTouched());
  field()?.toggleAttribute("data-quiet", !isWritten);
}

const marks = () => [...document.querySelectorAll("#spans select")];

// The browser takes the focus out of a closed panel only when it paints; the next key may be faster.
function close() {
  document.getElementById("spans").hidePopover();
  document.getElementById("asked")?.focus({ preventScroll: true });
}

function mark(event) {
  const all = marks();
  const here = all.indexOf(event.target);
  const step = { j: 1, J: 1, k: -1, K: -1 }[event.key];
  if (step) {
    const next = all[here + step];
    if (next && event.shiftKey) next.value = event.target.value;
    next?.focus();
  } else if (/^[0-6]$/.test(event.key)) event.target.selectedIndex = Number(event.key);
  else if (event.key === "Enter") close();
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  const panel = document.getElementById("spans");
  if (!panel || event.ctrlKey || event.metaKey || event.altKey) return;
  const isInside = panel.matches(":popover-open") && panel.contains(event.target);
  const isDone = isInside && event.target.matches("select") && mark(event);
  if (isDone) event.preventDefault();
  // Nothing that is typed in the panel is a key of the page.
  if (isDone || isInside) event.stopPropagation();
  if (isInside && event.key === "Enter" && event.target.matches("input")) { event.preventDefault(); close(); }
}, true);

// In the capturing phase, before the page's own keys: Enter in a rewrite is a new line.
document.addEventListener("keydown", (event) => {
  if (event.target.id === "rewrite" && event.key === "Enter" && !event.ctrlKey && !event.metaKey) event.stopPropagation();
}, true);

// At once, for the next key may be fast.
function startMarking() {
  document.getElementById("spans")?.showPopover();
  marks()[0]?.focus();
}

document.addEventListener("prefloop:mark", startMarking);
document.addEventListener("prefloop:rewrite", open);
document.addEventListener("click", (event) => { if (event.target.closest?.(".opens-rewrite")) open(); });
document.addEventListener("change", (event) => { if (event.target.name === "rating") follow(); });
document.addEventListener("prefloop:pair", begin);
document.addEventListener("prefloop:restored", begin);
begin();
