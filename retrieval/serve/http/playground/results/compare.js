/** Two settings side by side: which hits they share, and how far each moved. */

import { element, find } from "../dom.js";
import { total } from "./timings.js";

/** Mark the hits of both columns, with one scale for both bars; without two results all marks go. */
export function compare(columns) {
  const [first, second] = columns;
  const overlap = find("overlap");
  overlap.hidden = !(first.result && second?.result);
  if (overlap.hidden) {
    columns.filter((column) => column.result).forEach(unmark);
    return;
  }
  const shared = mark(second, first, true);
  mark(first, second, false);
  const most = Math.max(first.result.hits.length, second.result.hits.length);
  overlap.replaceChildren(element("b", {}, `${shared} of ${most}`), ` hits are in both, ${sameTop(first, second)}.`);
  const scale = Math.max(...columns.map((column) => total(column.result.timings_ms)));
  for (const column of columns) column.showTimings(scale);
}

function unmark(column) {
  column.showTimings();
  for (const place of column.root.querySelectorAll(".movement")) place.replaceChildren();
}

function sameTop(first, second) {
  const [a, b] = [first, second].map((column) => column.result.hits[0]?.passage_id);
  return a !== undefined && a === b ? "and the first is the same" : "and the first differs";
}

/** Put beside each hit of `column` where `other` has it; the number of hits that both have. */
function mark(column, other, withMovement) {
  const ranks = new Map(other.result.hits.map((hit) => [hit.passage_id, hit.rank]));
  let shared = 0;
  for (const hit of column.result.hits) {
    const there = ranks.get(hit.passage_id);
    if (there !== undefined) shared += 1;
    const place = card(column, hit.passage_id).querySelector(".movement");
    place.replaceChildren(there === undefined ? onlyHere(column.name) : partner(hit, there, other, withMovement));
  }
  return shared;
}

const card = (column, id) => [...column.root.querySelectorAll(".hit")].find((node) => node.dataset.passage === id);

const onlyHere = (name) => element("span", { class: "move only" }, `only ${name}`);

/** A button that leads to the same passage in the other column. */
function partner(hit, there, other, withMovement) {
  const moved = there - hit.rank;
  const kind = !withMovement || moved === 0 ? "same" : moved > 0 ? "up" : "down";
  const sign = { same: "", up: `▲ ${moved} · `, down: `▼ ${-moved} · ` }[kind];
  const said = { same: "", up: `${moved} higher than in ${other.name}, `, down: `${-moved} lower than in ${other.name}, ` }[kind];
  const label = `${said}rank ${there} in ${other.name}`;
  const jump = () => card(other, hit.passage_id).focus();
  return element("button", { type: "button", class: `move ${kind}`, "aria-label": label, title: label, onclick: jump }, `${sign}${other.name} #${there}`);
}
