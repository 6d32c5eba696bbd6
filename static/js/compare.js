// One round trip a comparison: where the focus goes, what is announced, and what happens when the
// connection is gone.

import { say } from "./toasts.js";

const toasts = document.getElementById("toasts");
let renewal;

function pair() {
  return document.getElementById("pair");
}

// A second try fits into the lease when the first is lost.
function awaitRenewal() {
  clearTimeout(renewal);
  const { lease } = pair()?.dataset ?? {};
  if (lease) renewal = setTimeout(renewLease, (Number(lease) * 1000) / 3);
}

function renewLease() {
  awaitRenewal();
  const { assignment, renew } = pair()?.dataset ?? {};
  const isAway = document.hidden || document.documentElement.hasAttribute("data-idle");
  if (!assignment || isAway) return;
  const body = new URLSearchParams({
    assignment_id: assignment,
    csrf_token: document.querySelector('input[name="csrf_token"]').value,
  });
  fetch(renew, { method: "POST", body }).catch(() => {});
}

function begin() {
  awaitRenewal();
  document.dispatchEvent(new CustomEvent("prefloop:pair"));
}

function settle() {
  document.getElementById("skip")?.hidePopover();
  document.getElementById("skip-form")?.reset();
  toasts.querySelectorAll(".is-danger").forEach((toast) => toast.remove());
  begin();
  window.scrollTo(0, 0);
  (document.querySelector("#pair [data-focus]") ?? document.getElementById("asked"))?.focus({ preventScroll: true });
  const pace = document.getElementById("pace")?.textContent.replace(/\s+/g, " ").trim();
  const status = document.getElementById("announcement");
  const { next = "Next pair.", none = "There is no pair for you now." } = status.dataset;
  status.textContent = pair()?.dataset.assignment ? `${next} ${pace}.` : none;
}

const isOurs = (event) => event.target?.closest?.("#pair") || event.detail?.ctx?.target?.id === "pair";

document.addEventListener("htmx:before:request", (event) => {
  if (isOurs(event)) pair().setAttribute("aria-busy", "true");
});

document.addEventListener("htmx:finally:request", () => pair()?.removeAttribute("aria-busy"));

document.addEventListener("htmx:after:swap", (event) => {
  const status = event.detail?.ctx?.response?.raw?.status ?? event.detail?.ctx?.response?.status ?? 200;
  if (status < 400) settle();
});

// The server is there and refused: its own words are in the toast. A proxy's are not.
document.addEventListener("htmx:response:error", (event) => {
  setTimeout(() => {
    if (!toasts.querySelector(".is-danger") && !event.detail?.ctx?.sourceElement?.dataset.waiting) {
      say("The server could not take your answer just now. It is still here: press Enter to send it again.");
    }
  }, 50);
});

document.addEventListener("htmx:error", (event) => {
  // What the outbox has taken is sent by itself, and its bar says so.
  if (!event.detail?.ctx || event.detail.ctx.sourceElement?.dataset.waiting) return;
  say("No connection to the server. Your answer is still here: press Enter to send it again.");
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) renewLease();
});

begin();
