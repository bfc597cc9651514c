/** The explanation of a hit: token matches, terms of BM25, exact beside quantized scores. */

import { element, isolated, number, score } from "../dom.js";
import { heatMatrix, matches } from "./heat.js";
import { stageName } from "./timings.js";

/** What is shown under a hit, and the matches to colour its text by (null without late interaction). */
export function why(explanation) {
  const found = explanation.tokens.length ? matches(explanation.tokens) : null;
  const parts = [];
  if (found) parts.push(part("Token matches", ...heatMatrix(found)));
  if (explanation.terms.length) parts.push(part("Terms of BM25", termTable(explanation.terms)));
  const facts = [["shard", explanation.shard], ["version", explanation.version]];
  if (explanation.dense_exact !== null) facts.unshift(["dense, exact", score(explanation.dense_exact)]);
  if (explanation.dense_quantized !== null) facts.splice(1, 0, ["dense, quantized", score(explanation.dense_quantized)]);
  const signals = Object.entries(explanation.signals);
  if (signals.length) parts.push(part("What adds up to the score", signalTable(signals)));
  parts.push(part("Scores", element("dl", { class: "facts" }, ...facts.map(fact))));
  if (!found) parts.push(element("p", { class: "quiet" }, "Re-rank with late-interaction to see which tokens matched."));
  return { nodes: parts, found };
}

const part = (name, ...nodes) => element("section", { class: "why-part" }, element("h4", {}, name), ...nodes);

const fact = ([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, isolated(value)));

/** What each stage says of the passage, between a random one (0) and its best (1), and what that adds. */
function signalTable(signals) {
  const rows = signals.map(([name, signal]) => element("tr", {},
    element("th", { scope: "row" }, stageName(name)),
    element("td", {}, signal.score === null ? "–" : score(signal.score)),
    element("td", {}, signal.calibrated.toFixed(3)),
    element("td", {}, signal.weight.toFixed(2)),
    element("td", {}, signal.share.toFixed(3))));
  const names = ["signal", "score", "calibrated", "weight", "adds"].map((name) => element("th", { scope: "col" }, name));
  const head = element("thead", {}, element("tr", {}, ...names));
  return element("table", { class: "terms signals" }, head, element("tbody", {}, ...rows));
}

function termTable(terms) {
  const top = Math.max(...terms.map((term) => term.score), 0);
  const rows = [...terms].sort((a, b) => b.score - a.score).map((term) => {
    const share = element("span", { class: "share" });
    share.style.setProperty("--share", String(top ? Math.max(term.score, 0) / top : 0));
    return element("tr", {},
      element("th", { scope: "row" }, isolated(term.term)),
      element("td", {}, `${number(term.count)}×`),
      element("td", {}, term.idf.toFixed(2)),
      element("td", {}, term.score.toFixed(2)),
      element("td", { class: "share-cell", "aria-hidden": "true" }, share));
  });
  const names = ["term", "count", "idf", "BM25"].map((name) => element("th", { scope: "col" }, name));
  const head = element("thead", {}, element("tr", {}, ...names, element("td", {})));
  return element("table", { class: "terms" }, head, element("tbody", {}, ...rows));
}
