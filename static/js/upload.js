// An upload that says how far it is. Without this script the same form posts as it stands.

document.querySelectorAll("form[data-upload]").forEach((form) => {
  const box = form.querySelector("[data-upload-progress]");
  const bar = box.querySelector("progress");
  const words = box.querySelector(".progress-text");
  const button = form.querySelector("button");

  function say(text) {
    words.textContent = text;
  }

  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    const request = new XMLHttpRequest();
    box.hidden = false;
    button.disabled = true;
    request.upload.addEventListener("progress", (sent) => {
      if (!sent.lengthComputable) return;
      bar.value = sent.loaded / sent.total;
      const percent = Math.round(100 * bar.value);
      say(percent < 100 ? `${percent} % sent` : "Sent; the server reads it");
    });
    request.addEventListener("load", () => {
      if (request.status < 400) {
        window.location.assign(request.responseURL);
        return;
      }
      finish();
      say(request.response?.querySelector("main .lead")?.textContent ?? "The server refused it.");
    });
    request.addEventListener("error", () => {
      finish();
      say("The connection broke. Nothing was imported; try again.");
    });
    request.open("POST", form.action);
    request.responseType = "document";
    request.setRequestHeader("X-CSRF-Token", form.elements.csrf_token.value);
    request.send(new FormData(form));
  });

  function finish() {
    button.disabled = false;
    bar.value = 0;
    delete form.dataset.sent;
  }
});
