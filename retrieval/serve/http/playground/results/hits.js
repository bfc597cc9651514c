/** Hits as cards: rank, passage, what each stage made of it, and on demand why it was found. */

import { element, isolated, score } from "../dom.js";
import { heatText, linkTokens } from "./heat.js";
import { openPassage } from "./passage.js";
import { stageClass, stageName } from "./timings.js";
import { why } from "./why.js";

/** Cards of hits in a list. `explain(hit)`: the explanation of a hit, fetched when it is asked for. */
export function showHits(list, hits, name, explain) {
  list.replaceChildren(...hits.map((hit) => element("li", {}, card(hit, `hit-${name}-${hit.rank}`, explain))));
}

/** Grey cards while a search runs. */
export function showWaiting(list) {
  const line = (width) => element("span", { class: `ghost ${width}` });
  list.replaceChildren(
    ...[0, 1, 2].map(() => element("li", { "aria-hidden": "true" }, element("div", { class: "hit waiting" }, element("div", { class: "hit-main" }, line("half"), line("full"), line("most"))))),
  );
}

function card(hit, id, explain) {
  const text = element("p", { class: "hit-text", dir: "auto" }, hit.text);
  const panel = element("div", { class: "why", id: `${id}-why`, hidden: true });
  const toggle = element("button", { type: "button", class: "link why-toggle", "aria-expanded": "false", "aria-controls": panel.id }, "Why this hit");
  const title = element("button", { type: "button", class: "hit-title", id: `${id}-title`, onclick: () => openPassage({ passage: hit }) }, isolated(hit.title || hit.doc_id));
  const article = element("article", { class: "hit", tabindex: "-1", "aria-labelledby": `${id}-title`, "data-passage": hit.passage_id },
    element("div", { class: "hit-rank", "aria-label": `rank ${hit.rank}` }, String(hit.rank)),
    element("div", { class: "hit-main" },
      element("header", { class: "hit-top" },
        element("h3", {}, title),
        element("span", { class: "movement" }),
        element("span", { class: "hit-score", title: "score of the last stage" }, score(hit.score))),
      element("p", { class: "where" }, isolated(hit.passage_id), hit.source ? " · " : "", isolated(hit.source ?? "")),
      text,
      element("div", { class: "hit-foot" }, stages(hit.stages), toggle),
      panel));
  toggle.addEventListener("click", () => toggleWhy({ hit, article, text, panel, toggle, explain }));
  linkTokens(article);
  return article;
}

/** Rank and score by stage, in the order in which the stages ran. */
function stages(given) {
  return element("ul", { class: "stages", "aria-label": "Rank and score by stage" },
    ...Object.entries(given).map(([stage, { rank, score: value }]) =>
      element("li", { class: stageClass(stage) }, stageName(stage), " ", element("b", {}, `#${rank}`), " ", score(value))));
}

async function toggleWhy({ hit, article, text, panel, toggle, explain }) {
  const open = toggle.getAttribute("aria-expanded") !== "true";
  toggle.setAttribute("aria-expanded", String(open));
  toggle.textContent = open ? "Close" : "Why this hit";
  article.classList.toggle("explained", open);
  panel.hidden = !open;
  if (!open) {
    text.replaceChildren(hit.text);
    return;
  }
  panel.replaceChildren(element("p", { class: "quiet" }, "Asking the stages…"));
  let shown;
  try {
    shown = why(await explain(hit));
  } catch (error) {
    shown = { nodes: [element("p", { class: "failure-line" }, isolated(error.message))], found: null };
  }
  if (toggle.getAttribute("aria-expanded") !== "true") return; // closed while it was fetched
  panel.replaceChildren(...shown.nodes);
  if (shown.found) text.replaceChildren(...heatText(hit.text, shown.found));
}
