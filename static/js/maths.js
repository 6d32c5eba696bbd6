// TeX that the server marked, set by KaTeX. The library comes only where the server saw maths, and
// runs in slices, so that a page full of formulas still answers to its keys.

const SLICE_MS = 30;
const OPTIONS = {
  trust: false,
  strict: "ignore",
  throwOnError: true, // what KaTeX cannot read stays as it was written
  maxExpand: 300,
  maxSize: 20,
  // As they are, these two write style attributes, which the content security policy refuses.
  macros: { "\\pmb": "\\boldsymbol{#1}", "\\fcolorbox": "\\colorbox{#2}{#3}" },
};

let library;

// The fonts too: a formula that is drawn in another font first takes another room.
const FONTS = ["KaTeX_Main", "KaTeX_Math", "KaTeX_Size1", "KaTeX_Size2"];

function load({ katex, katexStyle }) {
  library ??= new Promise((resolve, reject) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = katexStyle;
    style.onload = () => {
      const fonts = FONTS.map((name) => document.fonts.load(`1em ${name}`).catch(() => {}));
      Promise.all([import(katex), ...fonts]).then(() => resolve(self.katex), reject);
    };
    style.onerror = reject;
    document.head.append(style);
  });
  library.catch(() => { library = undefined; });
  return library;
}

function set(element, katex) {
  if (element.dataset.tex) return;
  const written = element.textContent;
  const isWide = written.startsWith("$$") || written.startsWith("\\[");
  const length = isWide || written.startsWith("\\(") ? 2 : 1;
  const tex = written.slice(length, -length);
  element.dataset.tex = written;
  const place = document.createElement("span");
  try {
    katex.render(tex, place, { ...OPTIONS, displayMode: isWide });
  } catch {
    return;
  }
  element.classList.add(isWide ? "is-wide" : "is-set");
  element.replaceChildren(place);
  if (isWide) element.tabIndex = 0;
}

function work(waiting, katex) {
  const began = performance.now();
  while (waiting.length && performance.now() - began < SLICE_MS) set(waiting.shift(), katex);
  if (waiting.length) setTimeout(() => work(waiting, katex));
  else document.dispatchEvent(new CustomEvent("prefloop:maths"));
}

const source = () => document.querySelector("[data-katex]");

function begin() {
  const waiting = [...document.querySelectorAll(".maths:not([data-tex])")];
  if (!source() || !waiting.length) return;
  // What has come already sets the first formulas in this task, before anything is painted.
  load(source().dataset).then((katex) => work(waiting, katex), () => {});
}

// While a pair without maths is read, the next one's is fetched.
document.addEventListener("prefloop:ahead", ({ detail }) => {
  if (source() && /class="[^"]*\bmaths\b/.test(detail.html)) load(source().dataset).catch(() => {});
});
document.addEventListener("prefloop:pair", begin);
begin();
