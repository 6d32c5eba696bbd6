// What every page needs: toasts that leave when they have been read, and forms that post once.

const toasts = document.getElementById("toasts");

function dismissLater(toast) {
  if (toast.dataset.timed || toast.classList.contains("is-danger")) return;
  toast.dataset.timed = "yes";
  setTimeout(() => toast.remove(), 6000);
}

if (toasts) {
  toasts.querySelectorAll(".toast").forEach(dismissLater);
  new MutationObserver(() => toasts.querySelectorAll(".toast").forEach(dismissLater))
    .observe(toasts, { childList: true, subtree: true });
  toasts.addEventListener("click", (event) => event.target.closest(".toast")?.remove());
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = form.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  // htmx forms speak for themselves; a plain form leaves the page, and must do so once.
  if (!form.hasAttribute("hx-post")) {
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 4000);
  }
});
