// How large texts are, remembered in this browser, and that there is a script at all. Loaded before
// the first paint and no module, so that nothing is drawn in one way and then in another.
"use strict";
(() => {
  const STEPS = ["-1", "0", "1", "2", "3", "4"];
  const KEY = "prefloop:text-size";
  const root = document.documentElement;
  root.toggleAttribute("data-scripted", true);

  function read() {
    try { return localStorage.getItem(KEY); } catch { return null; }
  }

  function apply(step) {
    if (STEPS.includes(step) && step !== "0") root.dataset.text = step;
    else delete root.dataset.text;
  }

  window.changeTextSize = (by) => {
    const at = STEPS.indexOf(root.dataset.text ?? "0") + by;
    const step = STEPS[Math.max(0, Math.min(STEPS.length - 1, at))];
    apply(step);
    try { localStorage.setItem(KEY, step); } catch { /* this page only */ }
    return STEPS.indexOf(step) - 1;
  };

  apply(read() ?? "0");
  window.addEventListener("storage", (event) => { if (event.key === KEY) apply(event.newValue ?? "0"); });
})();
