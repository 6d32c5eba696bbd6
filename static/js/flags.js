// Flags that wait for another flag, answers that can be taken back by a second click, and the way to
// a flag that must be answered and is not.

import { say } from "./toasts.js";

function isYes(flag) {
  return flag?.querySelector('input[value="1"]')?.checked && !flag.hidden;
}

function conditionOf(flag) {
  const same = `[data-flag="${flag.dataset.needs}"]`;
  return document.querySelector(`${same}[data-place="${flag.dataset.place}"]`)
    || document.querySelector(`${same}[data-place=""]`);
}

function showAsked() {
  // In the page's order, so that a chain of conditions settles in two rounds.
  const waiting = [...document.querySelectorAll(".flag[data-needs]")];
  for (const flag of [...waiting, ...waiting]) {
    flag.hidden = !isYes(conditionOf(flag));
    const isNeeded = Boolean(flag.querySelector(".needed"));
    flag.querySelectorAll("input").forEach((input) => { input.disabled = flag.hidden; input.required = isNeeded; });
  }
}

document.addEventListener("click", (event) => {
  const input = event.target;
  if (!(input instanceof HTMLInputElement) || input.type !== "radio" || !input.closest(".flag")) return;
  const was = input.dataset.on === "yes";
  input.closest(".flag").querySelectorAll("input").forEach((one) => delete one.dataset.on);
  if (was) input.checked = false;
  else input.dataset.on = "yes";
  showAsked();
});

// It may stand far above, or on the side that a narrow screen does not show.
function lead() {
  const flag = [...document.querySelectorAll("#answer .flag")].find((one) => one.querySelector("input:invalid"));
  if (!flag || !document.querySelector('#answer [name="rating"]:checked')) return;
  const { place } = flag.dataset;
  const { side } = document.documentElement.dataset;
  if (side && place && !flag.checkVisibility()) document.querySelector(`[data-reading="show-${place === "left" ? "a" : "b"}"]`)?.click();
  const name = flag.querySelector(".flag-name").firstChild.textContent.trim();
  const where = { left: " for answer A", right: " for answer B" }[place] ?? "";
  say(`Please answer “${name}”${where}. Your answer is still here.`);
  flag.querySelector("input").focus();
  flag.scrollIntoView({ block: "nearest" });
}

let isLed = false;
document.addEventListener("invalid", (event) => {
  if (!event.target.closest(".flag")) return;
  event.preventDefault();
  if (!isLed) queueMicrotask(() => { isLed = false; lead(); });
  isLed = true;
}, true);

function begin() {
  document.querySelectorAll(".flag input[data-on]").forEach((input) => delete input.dataset.on);
  document.querySelectorAll(".flag input:checked").forEach((input) => { input.dataset.on = "yes"; });
  showAsked();
}

document.addEventListener("prefloop:pair", begin);
document.addEventListener("prefloop:restored", begin);
begin();
