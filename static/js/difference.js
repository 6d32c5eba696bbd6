// Which words stand in one of two texts only. Pure: arrays in, arrays out.
//
// Myers' greedy algorithm (1986, "An O(ND) difference algorithm and its variations", figure 2) with
// a bound on D, so that two long texts that share nothing cost no more than MOST_EDITS squared.

export const MOST_EDITS = 2000;

// Letters of scripts that do without spaces count one by one.
const TOKEN = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|[\p{L}\p{N}\p{M}]+(?:['’][\p{L}]+)?|[^\s\p{L}\p{N}\p{M}]/gu;
const SPACELESS = /^[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]$/u;

// "text" → [{ word, start, end }], without what is only space.
export function words(text) {
  return [...text.matchAll(TOKEN)].map((found) => (
    { word: found[0], start: found.index, end: found.index + found[0].length }));
}

// Two arrays of strings → the pairs of places [i, j] that match, or null past `most` edits.
export function matches(a, b, most = MOST_EDITS) {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head
    && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const middle = greedy(a.slice(head, a.length - tail), b.slice(head, b.length - tail), most);
  if (!middle) return null;
  const same = [];
  for (let i = 0; i < head; i += 1) same.push([i, i]);
  for (const [i, j] of middle) same.push([i + head, j + head]);
  for (let i = tail; i > 0; i -= 1) same.push([a.length - i, b.length - i]);
  return same;
}

function greedy(a, b, most) {
  const trail = [];
  let ends = new Int32Array(3);
  // ends[k + d + 1] is how far along `a` the furthest path on diagonal k comes with d edits.
  for (let d = 0; d <= Math.min(most, a.length + b.length); d += 1) {
    const next = new Int32Array(2 * d + 5);
    for (let k = -d; k <= d; k += 2) {
      const at = k + d; // the middle of `ends`, which is one step narrower on each side
      const isDown = k === -d || (k !== d && ends[at - 1] < ends[at + 1]);
      let x = d === 0 ? 0 : isDown ? ends[at + 1] : ends[at - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      next[k + d + 2] = x;
      if (x >= a.length && x - k >= b.length) return backwards(a, b, trail, d, k);
    }
    trail.push(next);
    ends = next.subarray(1);
  }
  return null;
}

// From the end along the trail: every step that was no edit is a match.
function backwards(a, b, trail, edits, diagonal) {
  const same = [];
  let [x, y, k] = [a.length, b.length, diagonal];
  for (let d = edits; d >= 0; d -= 1) {
    const before = d ? trail[d - 1] : null;
    const far = (diagonalBefore) => before[diagonalBefore + d + 1];
    const isDown = d > 0 && (k === -d || (k !== d && far(k - 1) < far(k + 1)));
    const from = d === 0 ? 0 : isDown ? far(k + 1) : far(k - 1) + 1;
    while (x > from) { x -= 1; y -= 1; same.push([x, y]); }
    if (d === 0) break;
    if (isDown) { y -= 1; k += 1; } else { x -= 1; k -= 1; }
  }
  return same.reverse();
}

// A word or two in common amid what differs tell a reader nothing: they count as different.
function withoutCrumbs(same, a, b, shortest) {
  const kept = [];
  for (let i = 0; i < same.length;) {
    let j = i + 1;
    while (j < same.length && same[j][0] === same[j - 1][0] + 1 && same[j][1] === same[j - 1][1] + 1) j += 1;
    const run = same.slice(i, j);
    const isAtEdge = (run[0][0] === 0 && run[0][1] === 0)
      || (run.at(-1)[0] === a.length - 1 && run.at(-1)[1] === b.length - 1);
    if (isAtEdge || run.length >= shortest) kept.push(...run);
    i = j;
  }
  return kept;
}

function only(length, places) {
  const flags = new Array(length).fill(true);
  for (const place of places) flags[place] = false;
  return flags;
}

// Two arrays of words → for each word whether its own text alone has it, or null past the bound.
export function byWord(a, b, most = MOST_EDITS) {
  const found = matches(a, b, most);
  if (!found) return null;
  const shortest = a.some((word) => SPACELESS.test(word)) ? 2 : 3;
  const same = withoutCrumbs(found, a, b, shortest);
  return [only(a.length, same.map(([i]) => i)), only(b.length, same.map(([, j]) => j))];
}

// The same for lines; past the bound a line is the other's wherever it stands there.
export function byLine(a, b, most = MOST_EDITS) {
  const same = matches(a, b, most);
  if (same) return [only(a.length, same.map(([i]) => i)), only(b.length, same.map(([, j]) => j))];
  const [inA, inB] = [new Set(a), new Set(b)];
  return [a.map((line) => !inB.has(line)), b.map((line) => !inA.has(line))];
}
