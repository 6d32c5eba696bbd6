// A page without work looks again by itself, but only for someone who is there to see it: what is
// handed to a page that nobody looks at is kept from others.

const line = "[data-waits]";
const isOurs = (event) => event.detail?.ctx?.sourceElement?.matches?.(line);

function tell() {
  document.querySelector(line)?.removeAttribute("hidden");
}

document.addEventListener("htmx:before:request", (event) => {
  const isAway = document.hidden || document.documentElement.hasAttribute("data-idle");
  if (isOurs(event) && isAway) event.preventDefault();
});
// A look that failed is followed by the next one, and nobody needs to hear of it.
for (const failure of ["htmx:error", "htmx:response:error"]) {
  document.addEventListener(failure, (event) => { if (isOurs(event)) event.stopImmediatePropagation(); });
}
document.addEventListener("prefloop:pair", tell);
tell();
