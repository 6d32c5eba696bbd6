// Flags that wait for another flag, and answers that can be taken back by a second click.

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
    flag.querySelectorAll("input").forEach((input) => { input.disabled = flag.hidden; });
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

function begin() {
  document.querySelectorAll(".flag input[data-on]").forEach((input) => delete input.dataset.on);
  document.querySelectorAll(".flag input:checked").forEach((input) => { input.dataset.on = "yes"; });
  showAsked();
}

document.addEventListener("prefloop:pair", begin);
document.addEventListener("prefloop:restored", begin);
begin();
