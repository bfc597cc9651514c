/** An answer as it streams: text with citations that open their passages. */

import { count, element, isolated, milliseconds, score } from "../dom.js";
import { openPassage } from "./passage.js";
import { shares, steps } from "./shares.js";
import { places } from "./spans.js";

const CITED = /\[(\d+(?:\s*,\s*\d+)*)\]/g;

/** Text between citations. An override in it must not carry the citations along; a bdi would hide the
 *  text from the choice of the paragraph's direction. */
const segment = (text) => element("span", { class: "segment" }, text);

const DOUBT = "No passage read supports this sentence.";
const doubted = (text, begins) => element("span", { class: "segment doubted", title: DOUBT },
  begins ? element("span", { class: "doubt" }, element("span", { "aria-hidden": "true" }, "?"), element("span", { class: "unseen" }, DOUBT)) : null,
  text);

export class AnswerView {
  #root;
  #text = "";
  #hits = [];
  #citations = null;
  #doubts = []; // from where to where in the text stand sentences that nothing supports
  #painting = false;
  #started = 0;
  #first = null;
  #searches = 0;

  constructor(root) {
    this.#root = root;
  }

  begin() {
    [this.#text, this.#hits, this.#citations, this.#first, this.#searches] = ["", [], null, null, 0];
    this.#doubts = [];
    this.#started = performance.now();
    this.#root.hidden = false;
    this.#root.className = "answer streaming";
    this.#part("text").setAttribute("aria-busy", "true"); // read out once, when it is whole
    this.#part("text").replaceChildren();
    this.#root.querySelector(".badges").replaceChildren();
    this.#root.querySelector(".citations").replaceChildren();
    this.#part("more").replaceChildren();
    this.#state("Reading the passages…");
  }

  /** Of a search. Numbers are known at the end alone where there are several. */
  passages(hits) {
    this.#searches += 1;
    this.#hits = [...this.#hits, ...hits];
  }

  token(text) {
    this.#first ??= performance.now() - this.#started;
    const begins = !this.#text;
    this.#text += text;
    if (begins) {
      this.#state("");
      this.#paint();
    }
    if (this.#painting) return;
    this.#painting = true; // what comes within a frame is painted once
    requestAnimationFrame(() => {
      this.#painting = false;
      this.#paint();
    });
  }

  finish(answer) {
    [this.#text, this.#citations] = [answer.answer, answer.citations];
    const at = places(this.#text);
    this.#doubts = (answer.claims ?? []).filter((claim) => !claim.supported).map(({ start, end }) => [at(start), at(end)]);
    this.#end(answer.supported ? "" : "unsupported");
    this.#badges(answer);
    this.#list(answer);
    this.#part("more").replaceChildren(...shares(answer, (number) => this.#title(answer, number)), ...steps(answer));
    const whole = performance.now() - this.#started;
    const times = [this.#first === null ? null : `first words after ${milliseconds(this.#first)}`, `whole after ${milliseconds(whole)}`];
    const removed = answer.removed_citations;
    if (removed) times.push(`${removed} ${removed === 1 ? "citation that points" : "citations that point"} at no passage left out`);
    const moved = answer.moved_citations;
    if (moved) times.push(`${count(moved, "citation")} moved to the passage that says it`);
    if (this.#doubts.length) times.push(`${count(this.#doubts.length, "sentence")} marked that no passage supports`);
    this.#state(times.filter(Boolean).join(" · "));
  }

  /** Ended early: what has come so far stays. */
  stop(reason) {
    this.#end("stopped");
    this.#state(reason);
  }

  hide() {
    this.#root.hidden = true;
  }

  #part(name) {
    return this.#root.querySelector(`.answer-${name}`);
  }

  #state(text) {
    this.#part("state").textContent = text;
  }

  #end(kind) {
    this.#root.className = `answer ${kind}`;
    this.#paint();
    this.#part("text").setAttribute("aria-busy", "false");
  }

  /** The text with a button for every citation that is known; what was not checked stays plain text. */
  #paint() {
    const nodes = [];
    const seen = new Map();
    let done = 0;
    for (const match of this.#text.matchAll(CITED)) {
      // A space that does not break keeps the citation with its sentence.
      nodes.push(...this.#segments(done, match.index, (text) => text.replace(/ +$/, "\u202f")));
      done = match.index + match[0].length;
      for (const cited of match[1].split(",").map(Number)) nodes.push(this.#cited(cited, seen));
    }
    nodes.push(...this.#segments(done, this.#text.length));
    this.#part("text").replaceChildren(...nodes);
  }

  /** A stretch of the text without citations, cut where sentences that nothing supports begin and end. `last`: changes its end. */
  #segments(from, to, last = (text) => text) {
    const inside = this.#doubts.flat().filter((place) => place > from && place < to);
    const cuts = [from, ...inside.sort((a, b) => a - b), to];
    return cuts.slice(1).map((end, place) => {
      const start = cuts[place];
      const text = this.#text.slice(start, end);
      const shown = end === to ? last(text) : text;
      const doubt = this.#doubts.find(([begin, until]) => begin <= start && end <= until);
      return doubt && text.trim() ? doubted(shown, doubt[0] === start) : segment(shown);
    });
  }

  #cited(cited, seen) {
    const citation = this.#citation(cited, seen);
    if (!citation) return `[${cited}]`;
    const label = `Citation ${cited}: ${citation.title || citation.doc_id}`;
    return element("button", { type: "button", class: "cite", "aria-label": label, title: citation.quote ?? null, onclick: () => this.#open(citation) }, String(cited));
  }

  /** The same number cited again stands for its next quote, while there are any. */
  #citation(cited, seen) {
    if (this.#citations === null) {
      const hit = this.#searches === 1 ? this.#hits[cited - 1] : null;
      return hit ? { ...hit, number: cited, quote: null } : null;
    }
    const own = this.#citations.filter((citation) => citation.number === cited);
    const turn = seen.get(cited) ?? 0;
    seen.set(cited, turn + 1);
    return own[Math.min(turn, own.length - 1)];
  }

  #open(citation) {
    const passage = this.#hits.find((hit) => hit.passage_id === citation.passage_id);
    openPassage({ passage, citation });
  }

  /** Of a passage by its number: what was read is told, or else it is a hit of the only search. */
  #title(answer, number) {
    const read = answer.context?.find((one) => one.number === number) ?? (this.#searches === 1 ? this.#hits[number - 1] : null);
    return read?.title || read?.doc_id || "";
  }

  #badges(answer) {
    const badge = (kind, text, title) => element("span", { class: `badge ${kind}`, title }, isolated(text));
    const badges = [badge("", answer.extractive ? "extractive" : answer.generator,
      answer.extractive ? "Sentences of the passages themselves; no model wrote them." : "The model that wrote the answer.")];
    if (Number.isFinite(answer.support)) {
      const kind = answer.supported ? "good" : "weak";
      badges.push(badge("", answer.decode ?? "prompt", "How the answer was made from the passages."));
      badges.push(badge(kind, `support ${score(answer.support)}`, "How well the passages support an answer."));
    }
    this.#root.querySelector(".badges").replaceChildren(...badges);
  }

  #list(answer) {
    this.#root.querySelector(".citations").replaceChildren(...answer.citations.map((citation) =>
      element("li", {}, element("button", { type: "button", class: "citation", onclick: () => this.#open(citation) },
        element("span", { class: "cite", "aria-hidden": "true" }, String(citation.number)),
        element("span", { class: "citation-title" }, isolated(citation.title || citation.doc_id)),
        element("q", {}, isolated(citation.quote))))));
  }
}
