/** The playground: the form, the address and the columns, put together. */

import { Column } from "./column.js";
import { compare } from "./results/compare.js";
import { announce, count, find, milliseconds } from "./dom.js";
import { showIndex } from "./header.js";
import { listen } from "./keyboard.js";
import { readView, writeView } from "./view.js";

const columns = ["A", "B"].map((name, place) => {
  const again = () => ask([columns[place]]);
  return new Column(name, { changed: () => asked && again(), again, busy: () => showBusy() });
});
let asked = false;

const shown = () => (find("compare").checked ? columns : columns.slice(0, 1));

function currentView() {
  return {
    question: find("question").value.trim(), filter: find("filter").value.trim(), compare: find("compare").checked,
    settings: columns.map((column) => column.setting),
  };
}

/** Ask in the given columns; `remember`: the address becomes that of this view. */
async function ask(targets = shown(), { remember = true } = {}) {
  const view = currentView();
  if (!view.question) {
    find("question").focus();
    return;
  }
  asked = true;
  if (remember) keepInAddress(view);
  document.title = `${view.question} · corpusmill`;
  find("welcome").hidden = true;
  showFilterError("");
  const runs = targets.map((column) => ({ column, run: column.begin(view.question, view.filter) }));
  compare(shown());
  showBusy();
  try {
    // One search after the other: beside each other they would spoil each other's timings.
    const found = [];
    for (const { column, run } of runs) if (await column.search(run)) found.push({ column, run });
    compare(shown());
    announce(targets.filter(({ result }) => result).map(summary).join("; "));
    await Promise.all(found.map(({ column, run }) => column.answer(run).finally(showBusy)));
  } catch (error) {
    if (!error.isAboutFilter) throw error;
    for (const { column } of runs) column.clear();
    showFilterError([error.message, error.hint].filter(Boolean).join("\n"));
  } finally {
    showBusy();
  }
}

const summary = ({ name, result }) => `${name}: ${count(result.hits.length, "hit")} in ${milliseconds(result.timings_ms.total ?? 0)}`;

function keepInAddress(view) {
  const query = writeView(view);
  if (query !== location.search.slice(1)) history.pushState(null, "", query ? `?${query}` : location.pathname);
}

function showBusy() {
  const busy = columns.some((column) => column.isBusy);
  const focused = [find("stop"), find("submit")].includes(document.activeElement);
  find("stop").hidden = !busy;
  find("submit").hidden = busy;
  if (focused) find(busy ? "stop" : "submit").focus();
}

function showFilterError(text) {
  find("filter-error").hidden = !text;
  find("filter-error").textContent = text;
  find("filter").setAttribute("aria-invalid", String(Boolean(text)));
  if (text) find("filter").focus();
}

function showColumns() {
  const both = find("compare").checked;
  columns[1].root.hidden = !both;
  if (!both) {
    columns[1].clear();
    columns[1].setting = columns[1].setting; // a number out of bounds in a hidden field would block the form
  }
  document.body.classList.toggle("comparing", both);
  compare(shown());
}

/** Show the view that the address describes, and ask its question. */
function restore() {
  const view = readView(location.search);
  find("question").value = view.question;
  find("filter").value = view.filter;
  find("compare").checked = view.compare;
  columns.forEach((column, place) => {
    column.setting = view.settings[place];
  });
  showColumns();
  if (view.question) ask(shown(), { remember: false });
  else {
    columns.forEach((column) => column.clear());
    find("welcome").hidden = false;
    find("question").focus();
  }
}

function closeAll() {
  find("index").open = false;
  document.querySelectorAll(".why-toggle[aria-expanded=true]").forEach((toggle) => toggle.click());
}

function toggleCompare() {
  showColumns();
  if (!asked) return;
  if (find("compare").checked) ask([columns[1]]);
  else keepInAddress(currentView());
}

find("results").append(...columns.map((column) => column.root));
find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (document.activeElement === find("question")) find("results").focus({ preventScroll: true }); // so that j goes on
  ask();
});
find("stop").addEventListener("click", () => {
  columns.forEach((column) => column.stop());
  find("question").focus();
});
find("compare").addEventListener("change", toggleCompare);
addEventListener("popstate", restore);
listen({ closeAll, toggleCompare: () => find("compare").click() });
showIndex((decodes) => columns.forEach((column) => column.offer(decodes)));
restore();
