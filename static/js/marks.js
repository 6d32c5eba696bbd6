// The difference of two texts as marks in them, and a sentence about it.

import { byLine, byWord, words } from "./difference.js";

// Past this many letters on both sides together words are not worth the wait, and lines are.
const MOST_LETTERS = 400_000;

// [{ node, start, end, word }]; set TeX counts as one word and is not torn apart.
function tokens(root, cut) {
  const found = [];
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (node.parentElement.closest(".maths[data-tex], .invisible")) continue;
    for (const one of cut(node.data, node)) found.push({ node, ...one });
  }
  return found;
}

function lines(text) {
  const found = [];
  for (let start = 0; start < text.length;) {
    const end = (text.indexOf("\n", start) + 1) || text.length;
    const word = text.slice(start, end).trim();
    if (word) found.push({ word, start, end });
    start = end;
  }
  return found;
}

function wrap(node, start, end) {
  const range = document.createRange();
  range.setStart(node, start);
  range.setEnd(node, end);
  const mark = document.createElement("mark");
  mark.className = "only-here";
  range.surroundContents(mark);
}

// Neighbours in one text node become one mark. From the end, so that places stay where they were.
function markUp(found, isOnly) {
  for (let last = found.length - 1; last >= 0; last -= 1) {
    if (!isOnly[last]) continue;
    let first = last;
    while (first > 0 && isOnly[first - 1] && found[first - 1].node === found[last].node) first -= 1;
    wrap(found[last].node, found[first].start, found[last].end);
    last = first;
  }
}

function share(isOnly) {
  return isOnly.length ? Math.round((100 * isOnly.filter(Boolean).length) / isOnly.length) : 0;
}

export function showDifference(a, b, [nameOfA, nameOfB] = ["A", "B"]) {
  const isShort = a.textContent.length + b.textContent.length <= MOST_LETTERS;
  let sides = isShort ? [tokens(a, words), tokens(b, words)] : null;
  const plain = (side) => side.map((one) => one.word);
  let only = sides && byWord(plain(sides[0]), plain(sides[1]));
  const unit = only ? "words" : "lines";
  if (!only) {
    sides = [tokens(a, lines), tokens(b, lines)];
    only = byLine(plain(sides[0]), plain(sides[1]));
  }
  sides.forEach((side, place) => markUp(side, only[place]));
  if (!only.flat().some(Boolean)) return "The two texts say the same, word for word.";
  return `Differences are marked: ${share(only[0])} % of the ${unit} of ${nameOfA} and ${share(only[1])} % of ${nameOfB}’s stand there only.`;
}

export function hideDifference(...sides) {
  for (const side of sides) {
    for (const mark of side.querySelectorAll("mark.only-here")) mark.replaceWith(...mark.childNodes);
    side.normalize();
  }
  return "Differences are hidden.";
}
