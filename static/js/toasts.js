// What went wrong, in words that stay until they are read or no longer true.

export function say(words) {
  const toast = document.createElement("p");
  toast.className = "toast is-danger";
  toast.setAttribute("role", "alert");
  toast.textContent = words;
  document.getElementById("toasts").replaceChildren(toast);
}
