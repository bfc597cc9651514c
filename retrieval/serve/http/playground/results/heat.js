/** Late interaction made visible: which passage token each query token matched best, and how strongly. */

import { element, isolated, score } from "../dom.js";
import { marked } from "./spans.js";

/** Matches of an explanation, passage tokens numbered in the order of the text; title tokens come first. */
export function matches(tokens) {
  const key = (token) => (token.start < 0 ? `title ${token.passage_token}` : `${token.start} ${token.end}`);
  const words = new Map();
  for (const token of tokens) {
    const known = words.get(key(token));
    if (!known) words.set(key(token), { text: token.passage_token, start: token.start, end: token.end, best: token.score });
    else known.best = Math.max(known.best, token.score);
  }
  const ordered = [...words.entries()].sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  ordered.forEach(([, word], place) => {
    word.place = place;
  });
  return {
    words: ordered.map(([, word]) => word),
    rows: tokens.map((token, place) => ({ place, text: token.query_token, word: words.get(key(token)), score: token.score })),
  };
}

/** Nodes of the passage's text, matched tokens coloured by their strongest match. */
export function heatText(text, found) {
  const words = found.words.filter((word) => word.start >= 0);
  return marked(text, words, (word, part) => {
    const mark = element("mark", { class: "heat", "data-word": word.place }, part);
    return warm(mark, word.best);
  });
}

/** Nodes of the matrix, query tokens by passage tokens, in a box that scrolls. */
export function heatMatrix(found) {
  const head = element("tr", {}, element("td", { class: "corner" }));
  for (const word of found.words) {
    const title = word.start < 0 ? `${word.text} (in the title)` : word.text;
    const label = element("span", {}, isolated(word.text || "·"));
    head.append(element("th", { scope: "col", "data-word": word.place, title, class: word.start < 0 ? "of-title" : null }, label));
  }
  const body = element("tbody", {}, ...found.rows.map((row) => matrixRow(row, found.words)));
  const sum = found.rows.reduce((all, row) => all + row.score, 0);
  const table = element("table", { class: "matrix" }, element("thead", {}, head), body);
  return [
    element("div", { class: "matrix-box", tabindex: 0, role: "region", "aria-label": "Token matches" }, table),
    element("p", { class: "quiet" }, `Rows: query tokens, each with its best match. Their sum is MaxSim, ${score(sum)}.`),
  ];
}

function matrixRow(row, words) {
  const line = element("tr", {}, element("th", { scope: "row", tabindex: 0, "data-row": row.place, "data-word": row.word.place }, isolated(row.text)));
  for (const word of words) {
    if (word !== row.word) {
      line.append(element("td", {}));
      continue;
    }
    const title = `${row.text} – ${word.text || "?"}: ${row.score.toFixed(3)}`;
    const cell = element("td", { class: "heat", "data-row": row.place, "data-word": word.place, title }, row.score.toFixed(2));
    line.append(warm(cell, row.score));
  }
  return line;
}

/** Squared, so that the many half-hearted matches stay pale; the scale is the same for all passages. */
function warm(node, value) {
  node.style.setProperty("--heat", String(Math.min(Math.max(value, 0), 1) ** 2));
  return node;
}

/** Pointing at a token, or focusing it, lights its partners wherever they are under `root`. */
export function linkTokens(root) {
  const unlight = () => root.querySelectorAll(".lit").forEach((node) => node.classList.remove("lit"));
  const light = (event) => {
    unlight();
    const token = event.target.closest("[data-word]");
    if (!token) return;
    const { row, word } = token.dataset;
    for (const node of root.querySelectorAll(`[data-word="${word}"]`)) {
      if (row === undefined || node.dataset.row === undefined || node.dataset.row === row) node.classList.add("lit");
    }
  };
  root.addEventListener("pointerover", light);
  root.addEventListener("pointerleave", unlight);
  root.addEventListener("focusin", light);
  root.addEventListener("focusout", unlight);
}
