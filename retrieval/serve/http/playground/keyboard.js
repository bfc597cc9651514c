/** Keys of the page. A field that is being written in keeps its own. */

import { find } from "./dom.js";

const WRITING = "input:not([type=checkbox]), textarea, select";

/** Listen for keys; `actions`: closeAll() and toggleCompare(). */
export function listen(actions) {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
  }
  find("help-open").addEventListener("click", () => find("help").showModal());
  const keys = {
    "/": () => { find("question").focus(); find("question").select(); },
    "?": () => find("help").showModal(),
    j: () => move(1, 0),
    k: () => move(-1, 0),
    h: () => move(0, -1),
    l: () => move(0, 1),
    e: () => current()?.querySelector(".why-toggle").click(),
    c: actions.toggleCompare,
    Escape: actions.closeAll,
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return; // Escape closes a dialog by itself
    if (event.target.matches(WRITING)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const onHit = event.key === "Enter" && event.target.matches(".hit");
    const action = onHit ? () => event.target.querySelector(".hit-title").click() : keys[event.key];
    if (!action) return;
    event.preventDefault(); // or Enter would go on to the button that has the focus then
    action();
  });
}

const current = () => document.activeElement.closest(".hit");

/** Focus another hit: so many down, so many columns to the right. */
function move(down, right) {
  const lists = [...document.querySelectorAll(".column:not([hidden]) .hits")].map((list) => [...list.querySelectorAll(".hit[tabindex]")]);
  let column = Math.max(lists.findIndex((hits) => hits.includes(current())), 0);
  const from = lists[column]?.indexOf(current()) ?? -1;
  column = Math.min(Math.max(column + right, 0), lists.length - 1);
  const hits = lists[column] ?? [];
  const to = hits[Math.min(Math.max(from + down, 0), hits.length - 1)];
  to?.focus({ preventScroll: true });
  to?.scrollIntoView({ block: "nearest" });
}
