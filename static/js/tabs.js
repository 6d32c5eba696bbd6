// Two tabs and the way back: what was answered in one place is not asked in another.

const channel = "BroadcastChannel" in window ? new BroadcastChannel("prefloop") : null;
const KEPT_DAYS = 30;
const pair = () => document.getElementById("pair");

function link(words, href) {
  return Object.assign(document.createElement("a"), { textContent: words, href });
}

function tell(...words) {
  document.getElementById("saved")?.replaceChildren(...words);
}

// The pair that was answered by hand in this tab; a draft from another tab is not of this one.
let touched = "";

function touch(event) {
  if (event.target.form?.id === "answer") touched = pair()?.dataset.assignment ?? "";
}

function undo({ answer }) {
  // What the next pair's own draft says there comes first.
  if (answer && !document.getElementById("saved")?.textContent) tell("Kept. ", link("Undo", `${pair().dataset.collect}/answers/${answer}`));
}

function kept(event) {
  const { assignment, isLate } = event.detail;
  channel?.postMessage({ assignment, person: pair()?.dataset.person });
  // The page still shows what was sent without it: on to the next pair.
  if (isLate && pair()?.dataset.assignment === assignment) {
    document.documentElement.setAttribute("data-leaving", "");
    location.reload();
  }
  else queueMicrotask(() => undo(event.detail));
}

function heard(event) {
  const { assignment, person, collect, noun = "pair" } = pair()?.dataset ?? {};
  if (!assignment || event.data.assignment !== assignment || event.data.person !== person) return;
  if (touched !== assignment) { location.reload(); return; }
  tell(`You answered this ${noun} in another tab. `, link("See that answer", `${collect}/pairs/${assignment}`), " or ", link(`go to the next ${noun}`, collect));
}

// Drafts that nobody came back to.
function forgetOld() {
  for (const key of Object.keys(localStorage).filter((one) => one.startsWith("prefloop.draft."))) {
    const { at } = JSON.parse(localStorage.getItem(key)) ?? {};
    if (!(at > Date.now() - KEPT_DAYS * 86_400_000)) localStorage.removeItem(key);
  }
}

document.addEventListener("input", touch);
document.addEventListener("change", touch);
document.addEventListener("prefloop:kept", kept);
channel?.addEventListener("message", heard);
// The browser may bring a page back as it was left, long after its pair was answered.
window.addEventListener("pageshow", (event) => {
  const { assignment, collect, comparison } = pair()?.dataset ?? {};
  if (!event.persisted) return;
  if (assignment) location.replace(`${collect}/pairs/${assignment}`);
  else if (comparison) location.reload();
});
try { forgetOld(); } catch { /* A browser that keeps nothing has nothing to forget. */ }
