// The bar that says since when there is no connection, what waits, and what was not taken.

// What is sent at once is not worth a line.
const SOON_MS = 1500;

const bar = document.getElementById("outbox");
let isWaiting = false;
let later;

function element(tag, words, values = {}) {
  return Object.assign(document.createElement(tag), { textContent: words, ...values });
}

function button(words, deed) {
  const made = element("button", words, { type: "button", className: "link" });
  made.addEventListener("click", deed);
  return made;
}

const ask = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
const isOld = ({ at }) => at < Date.now() - SOON_MS;
const count = (n) => (n === 1 ? "1 answer" : `${n} answers`);
const time = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

// Ranks or ratings, in the order in which the answers stood on the page.
function numbers(entry) {
  const given = entry.fields.filter(([name]) => name.startsWith("choice."));
  return given.map(([, value], place) => `${"ABCDEFGHI"[place]} ${value}`).join(", ");
}

// What the annotator said, so that a refused answer can be given again by hand.
function said(entry) {
  const given = Object.fromEntries(entry.fields);
  const parts = [
    numbers(entry),
    given.text && `“${given.text}”`,
    given.rating && `rating ${given.rating}`,
    given.is_about_equal && "about equal",
    given.is_both_bad && "both bad",
    given.reason && `skipped: ${given.reason}`,
    given.comment && `“${given.comment}”`,
  ];
  return `From ${time(entry.at)}: ${parts.filter(Boolean).join(", ") || "no words"}.`;
}

function waiting({ isThere, since, why }, entries) {
  const n = entries.length;
  const line = element("p", "");
  if (why === "signed out") {
    const back = encodeURIComponent(entries[0].collect);
    const signIn = element("a", "Sign in", { href: `/sign-in?next=${back}` });
    signIn.addEventListener("click", () => document.documentElement.setAttribute("data-leaving", ""));
    line.append(`You are signed out. ${count(n)} ${n === 1 ? "waits" : "wait"} in this browser. `, signIn, n === 1 ? " and it is sent." : " and they are sent.");
  } else if (why === "someone else") {
    line.append(`Someone else has signed in in this browser. ${count(n)} of yours ${n === 1 ? "waits" : "wait"} here until you sign in again.`);
  } else if (!isThere) {
    const what = n ? `${count(n)} ${n === 1 ? "waits" : "wait"} in this browser and ${n === 1 ? "is" : "are"} sent when it is back. ` : "What you answer is kept in this browser.";
    line.append(`No connection since ${time(since)}. ${what}`);
    if (document.getElementById("answer")?.dataset.waiting) line.append("The answer on this page is among them; the next one comes then. ");
    if (n) line.append(button("Send now", () => ask("prefloop:send")));
  } else if (entries.some(isOld)) {
    line.append(`${count(n)} ${n === 1 ? "is" : "are"} being sent.`);
  }
  return line.childNodes.length ? [line] : [];
}

function refused(entry) {
  const made = element("div", "", { className: "refused" });
  const head = element("p", `One answer was not taken. ${entry.refusal} `);
  const text = element("p", said(entry), { className: "said", dir: "auto" });
  const discard = button("Discard", () => {
    if (window.confirm("Discard this answer? It is kept nowhere else.")) ask("prefloop:discard", { id: entry.id });
  });
  const again = button("Send it again", () => ask("prefloop:send"));
  made.append(head, text, again, " ", discard);
  return made;
}

function show(event) {
  const { entries, person } = event.detail;
  const mine = entries.filter((entry) => entry.person === person);
  const others = new Set(entries.filter((entry) => entry.person !== person).map((entry) => entry.person)).size;
  const lines = [...waiting(event.detail, mine.filter((entry) => !entry.refusal)), ...mine.filter((entry) => entry.refusal).map(refused)];
  if (others) lines.push(element("p", "Answers of another person wait in this browser. They are sent when that person signs in here."));
  isWaiting = mine.some((entry) => isOld(entry) || entry.refusal || !event.detail.isThere);
  clearTimeout(later);
  if (mine.length && !mine.every(isOld)) later = setTimeout(() => show(event), SOON_MS);
  const words = lines.map((line) => line.textContent).join("");
  if (words === bar.textContent) return;
  bar.replaceChildren(...lines);
  bar.hidden = lines.length === 0;
}

// With nothing to send, somebody must still look whether the server is back.
let looking;
function look(event) {
  clearTimeout(looking);
  if (event.detail.isThere) return;
  looking = setTimeout(async () => {
    const response = await fetch("/healthz").catch(() => null);
    if (response?.ok) ask("prefloop:connection", { isThere: true });
    else look(event);
  }, 4000);
}

if (bar) {
  document.addEventListener("prefloop:outbox", show);
  document.addEventListener("prefloop:outbox", look);
}
// Nothing waits in vain: it is sent at the next visit. But the annotator should know.
window.addEventListener("beforeunload", (event) => {
  if (isWaiting && !document.documentElement.hasAttribute("data-leaving")) event.preventDefault();
});
