/** One passage in full, with the quote of a citation marked in it. */

import * as api from "../service/api.js";
import { element, fillFacts, find, isolated, number } from "../dom.js";
import { marked, quoteSpan } from "./spans.js";

let fetching = null;

/** Open a passage: one that is here, or else the one that the citation names. */
export async function openPassage({ passage = null, citation = null }) {
  const dialog = find("passage");
  fetching?.abort();
  head(passage ?? citation, citation);
  fillFacts(find("passage-facts"), []);
  if (!dialog.open) dialog.showModal();
  if (passage) {
    fill(passage, citation);
    return;
  }
  fetching = new AbortController();
  find("passage-body").replaceChildren(element("p", { class: "quiet" }, "Loading…"));
  try {
    const found = await api.passage(citation.passage_id, fetching.signal);
    head(found, citation);
    fill(found, citation);
  } catch (error) {
    if (error.name === "AbortError") return;
    find("passage-body").replaceChildren(element("p", { class: "failure-line" }, isolated(error.message)));
  }
}

function head(passage, citation) {
  find("passage-number").hidden = !citation;
  find("passage-number").textContent = citation ? `Citation ${citation.number}` : "";
  find("passage-title").replaceChildren(isolated(passage.title || passage.doc_id));
  find("passage-where").replaceChildren(isolated(passage.passage_id), passage.source ? " · " : "", isolated(passage.source ?? ""));
}

function fill(passage, citation) {
  const span = citation?.quote ? quoteSpan(citation, passage) : null;
  const nodes = marked(passage.text, span ? [span] : [], (_, text) => element("mark", { class: "quote" }, text));
  const body = find("passage-body");
  body.replaceChildren(element("p", { class: "passage-text", dir: "auto" }, ...nodes));
  if (citation?.quote && !span) body.append(element("p", { class: "quiet" }, "The quote is not in this text."));
  const facts = [["characters", `${number(passage.start)} – ${number(passage.end)} of the document`]];
  for (const [name, value] of Object.entries(passage.metadata ?? {})) {
    if (value !== null) facts.push([name, typeof value === "object" ? JSON.stringify(value) : value]);
  }
  fillFacts(find("passage-facts"), facts);
  body.scrollTop = 0;
  body.querySelector("mark")?.scrollIntoView({ block: "center" });
}
