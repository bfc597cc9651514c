/** What each passage had to do with an answer, and by token which passage carried it. */

import { element, isolated } from "../dom.js";

const percent = (share) => `${Math.round(100 * share)} %`;

/** Nodes for an answer over passages by themselves: a bar a passage, and its text as a heat map where tokens are known. */
export function shares(answer, titleOf) {
  if (!answer.weights) return [];
  const bars = element("ol", { class: "shares", "aria-label": "Share of each passage in the answer" });
  const map = answer.token_weights ? tokenMap(answer.token_weights) : null;
  answer.weights.forEach((share, place) => {
    const label = element("span", { class: "share-name" }, `${place + 1} `, isolated(titleOf(place + 1)));
    const bar = element("span", { class: "share-bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", String(share));
    const row = [label, bar, element("span", { class: "share-value" }, percent(share))];
    const item = map
      ? element("button", { type: "button", class: "share", "aria-pressed": "false", title: "Colour the tokens by this passage", onclick: (event) => map.show(place, event.currentTarget, bars) }, ...row)
      : element("span", { class: "share" }, ...row);
    bars.append(element("li", {}, item));
  });
  const nodes = [element("h4", {}, "Passages"), bars];
  if (map) {
    nodes.push(element("h4", {}, "Tokens"), map.root, map.told);
    bars.querySelector("button").click();
  }
  return nodes;
}

/** The text as tokens. `show`: colours them by a passage's share; pointing at a token, or focusing it, tells all shares. */
function tokenMap(tokens) {
  const told = element("p", { class: "quiet token-told", role: "status" }, "The bar under a token is the share of the chosen passage. Point at a token, or walk by arrow keys, for all shares.");
  const root = element("p", { class: "tokens", dir: "auto" });
  const tell = ({ text, weights }) => {
    told.replaceChildren("“", isolated(text.trim() || "␣"), `”: ${weights.map((share, place) => `${place + 1}: ${percent(share)}`).join(", ")}`);
  };
  const nodes = tokens.map((token, place) => {
    const spoken = `${token.text.trim()}: ${token.weights.map((share, passage) => `passage ${passage + 1} ${percent(share)}`).join(", ")}`;
    const node = element("span", { class: "heat token", tabindex: place ? -1 : 0, role: "note", "aria-label": spoken, onpointerover: () => tell(token), onfocus: () => tell(token) }, token.text);
    root.append(node);
    return node;
  });
  root.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const from = nodes.indexOf(event.target);
    const to = nodes[from + step];
    if (from < 0 || !to) return;
    event.preventDefault();
    [event.target.tabIndex, to.tabIndex] = [-1, 0]; // one stop of the tab key for all
    to.focus();
  });
  const show = (passage, button, bars) => {
    bars.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    nodes.forEach((node, place) => node.style.setProperty("--heat", String(tokens[place].weights[passage])));
  };
  return { root, told, show };
}

const REASONS = {
  question: "the question", "follow-up": "the question, said by itself", "sub-question": "a sub-question",
  hop: "what a passage adds", uncertain: "an uncertain draft",
};

/** Nodes for the searches of an answer, where there was more than one. */
export function steps(answer) {
  if (!answer.steps) return [];
  const items = answer.steps.map((step) => {
    const lines = [element("p", {}, element("b", {}, REASONS[step.reason] ?? step.reason), ": ", isolated(step.query))];
    const draft = step.probability === undefined ? "from" : `least likely word ${percent(step.probability)}, draft`;
    if (step.text) lines.push(element("p", { class: "quiet" }, `${step.reason === "sub-question" ? "answered" : draft}: `, isolated(step.text)));
    const found = step.passages.length ? step.passages.join(", ") : "nothing new";
    lines.push(element("p", { class: "quiet" }, `version ${step.version}, found `, isolated(found)));
    return element("li", {}, ...lines);
  });
  return [element("h4", {}, "Searches"), element("ol", { class: "steps", "aria-label": "Searches" }, ...items)];
}
