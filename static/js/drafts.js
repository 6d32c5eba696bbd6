// What is half answered is kept: at once in this browser, a second later on the server, each time
// with a version. Whichever version is newest is what every tab and device shows.

const PREFIX = "prefloop.draft.";
const OURS = new Set(["csrf_token", "idempotency_key", "assignment_id", "turn_id", "revision", "back"]);
const MEASURED = new Set(["seconds", "times"]);
const WAIT_MS = 1000;
const AGAIN_MS = 5000;

let draft = null;
let timer;

const pair = () => document.getElementById("pair");
const form = () => document.getElementById("answer");
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function keyOf({ person, assignment, comparison, turn }) {
  const subject = assignment ?? turn ?? comparison;
  return subject ? `${PREFIX}${person}.${subject}` : "";
}

function show(words) {
  const status = document.getElementById("saved");
  if (status) status.textContent = words;
}

function fields() {
  document.dispatchEvent(new CustomEvent("prefloop:measure"));
  const content = {};
  for (const [name, value] of new FormData(form())) {
    if (OURS.has(name) || typeof value !== "string" || value === "") continue;
    content[name] = name in content ? [content[name], value].flat() : value;
  }
  return content;
}

const answered = (content) => Object.entries(content).filter(([name]) => !MEASURED.has(name));

function restore(content) {
  for (const input of form().elements) {
    if (!input.name || OURS.has(input.name)) continue;
    const given = [content[input.name] ?? []].flat();
    if (input.type === "radio" || input.type === "checkbox") input.checked = given.includes(input.value);
    else input.value = given[0] ?? "";
  }
  if (content.comment) document.getElementById("comment-field")?.removeAttribute("data-quiet");
  document.dispatchEvent(new CustomEvent("prefloop:restored"));
}

function readLocal(key) { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } }

function writeLocal() {
  try {
    localStorage.setItem(draft.key, JSON.stringify({ version: draft.version, content: draft.content, at: Date.now() }));
    return true;
  } catch { return false; }
}

function take(version, content) {
  Object.assign(draft, { version, content, isDirty: false, isLocal: true });
  restore(content);
}

function changed(event) {
  if (!draft || event.target.form !== form()) return;
  const content = fields();
  if (same(answered(content), answered(draft.content))) return;
  pair().dataset.version = draft.version += 1;
  Object.assign(draft, { content, isDirty: true });
  draft.isLocal = writeLocal();
  show("");
  clearTimeout(timer);
  timer = setTimeout(save, draft.isOnServer ? WAIT_MS : 0);
}

async function save() {
  clearTimeout(timer);
  const sent = draft;
  if (!sent?.isDirty) return;
  if (!sent.isOnServer) { show(sent.isLocal ? "Saved in this browser" : ""); return; }
  const { version, content } = sent;
  const body = new URLSearchParams({
    assignment_id: sent.assignment, version, content: JSON.stringify(content), csrf_token: form().elements.csrf_token.value,
  });
  const response = await fetch(`${sent.collect}/drafts`, {
    method: "POST", body, headers: { Accept: "application/problem+json" }, keepalive: body.toString().length < 60_000,
  }).catch(() => null);
  if (draft !== sent) return;
  const isThere = response !== null && response.status < 500;
  document.dispatchEvent(new CustomEvent("prefloop:connection", { detail: { isThere } }));
  if (!isThere) { timer = setTimeout(save, AGAIN_MS); return; }
  if (response.ok) settle(sent, version, await response.json());
}

function settle(sent, version, standing) {
  if (draft !== sent || (standing.is_saved && sent.version !== version)) return;
  localStorage.removeItem(sent.key);
  if (standing.is_saved) { sent.isDirty = false; show("Saved"); return; }
  const mine = sent.content;
  take(standing.version, standing.content);
  offerBack(mine);
}

// The newer one stands, and what was here is one press away.
function offerBack(mine) {
  show("A newer draft of yours, from elsewhere, is shown. ");
  const back = Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: "Put back what was here" });
  back.addEventListener("click", () => {
    restore(mine);
    changed({ target: form().elements[0] });
  });
  document.getElementById("saved")?.append(back);
}

function begin() {
  clearTimeout(timer);
  const before = draft?.key;
  const { turn, assignment = turn, collect, version, draft: given } = pair()?.dataset ?? {};
  const key = form() ? keyOf(pair().dataset) : "";
  if (before && before !== key) localStorage.removeItem(before);
  draft = null;
  if (!key) return;
  draft = { key, assignment, collect, isOnServer: Boolean(assignment), version: Number(version ?? 0), content: fields(), isDirty: false, isLocal: true };
  const local = readLocal(key);
  if (local && local.version > draft.version) {
    take(local.version, local.content);
    draft.isDirty = true;
    save();
  } else if (given) {
    take(draft.version, JSON.parse(given));
  }
}

document.addEventListener("input", changed);
document.addEventListener("change", changed);
document.addEventListener("prefloop:pair", begin);
document.addEventListener("click", (event) => {
  if (event.target.closest?.("#answer a.button") && draft) localStorage.removeItem(draft.key);
});
document.addEventListener("submit", () => clearTimeout(timer), true);
document.addEventListener("visibilitychange", () => { if (document.hidden) save(); });
window.addEventListener("pagehide", save);
window.addEventListener("online", save);
window.addEventListener("storage", (event) => {
  const other = draft && event.key === draft.key && event.newValue ? JSON.parse(event.newValue) : null;
  if (other?.version > draft.version) take(other.version, other.content);
});
window.addEventListener("beforeunload", (event) => {
  if (draft?.isDirty && !draft.isLocal) event.preventDefault();
});
