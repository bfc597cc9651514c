/** One setting and what it gives: answer, timings, hits. */

import * as api from "./service/api.js";
import { AnswerView } from "./results/answer.js";
import { element, find, isolated, milliseconds } from "./dom.js";
import { showHits, showWaiting } from "./results/hits.js";
import { failureNotice, resultNotices } from "./notices.js";
import { timingBar, total } from "./results/timings.js";
import { MAX_K } from "./view.js";

const ANSWER_PASSAGES = 5;

export class Column {
  #answer;
  #controller = null;
  #turns = [];
  #asked = null; // the latest run that was answered, with which a conversation goes on
  result = null;

  /** name: A or B. `changed()`: the setting was changed. `again()`: ask this column again. `busy()`: whether it is busy has changed. */
  constructor(name, { changed, again, busy }) {
    this.name = name;
    this.busy = busy;
    this.again = again;
    this.root = find("column-template").content.cloneNode(true).firstElementChild;
    this.root.setAttribute("aria-label", `Setting ${name}`);
    this.#part(".setting").setAttribute("aria-label", `Setting ${name}`);
    this.#part(".setting-name").textContent = name;
    this.#answer = new AnswerView(this.#part(".answer"));
    this.#part(".setting").addEventListener("change", changed);
    this.#part(".follow").addEventListener("submit", (event) => this.#goOn(event));
  }

  get setting() {
    const k = Number(this.#part("[name=k]").value);
    return {
      mode: this.#part("[name=mode]").value,
      rerank: this.#part("[name=rerank]").value,
      k: Math.min(Math.max(Math.trunc(k) || 1, 1), MAX_K),
      decode: this.#part("[name=decode]").value,
      hops: this.#part("[name=hops]").value,
    };
  }

  set setting({ mode, rerank, k, decode, hops }) {
    this.#part("[name=mode]").value = mode;
    this.#part("[name=rerank]").value = rerank;
    this.#part("[name=k]").value = k;
    this.#part("[name=decode]").value = decode;
    this.#part("[name=hops]").value = hops;
  }

  /** Offer only the ways to answer that the service's generator has. */
  offer(decodes) {
    for (const option of this.#part("[name=decode]").options) option.disabled = Boolean(option.value) && !decodes.includes(option.value);
  }

  get isBusy() {
    return this.#controller !== null;
  }

  /** Give up what runs and show that something will come; what runs from here on hangs on the signal. */
  begin(question, filter) {
    this.#controller?.abort();
    this.#controller = new AbortController();
    this.result = null;
    this.#answer.hide();
    this.#part(".notices").replaceChildren();
    this.#part(".timings").hidden = true;
    this.root.setAttribute("aria-busy", "true");
    showWaiting(this.#part(".hits"));
    const { mode, rerank, k, decode, hops } = this.setting;
    const options = { mode: mode || null, rerank: rerank || null, filter: filter || null };
    const ways = { decode: decode || null, hops: hops ? Number(hops) : null };
    this.#turns = [];
    return { question, k, options, ways, signal: this.#controller.signal };
  }

  /** Search, and show the hits; whether there are any to answer from. Raises ApiError for a filter. */
  async search({ question, k, options, signal }) {
    if (signal.aborted) return this.#failed(signal.reason, signal);
    const body = { query: question, k, ...options };
    try {
      this.result = await api.search(body, signal);
    } catch (error) {
      return this.#failed(error, signal);
    }
    this.#part(".notices").replaceChildren(...resultNotices(this.result));
    showHits(this.#part(".hits"), this.result.hits, this.name, this.#explainer(body));
    this.showTimings();
    if (!this.result.hits.length) this.#finished(signal);
    return this.result.hits.length > 0;
  }

  /** Stream the answer. */
  async answer(run, messages = []) {
    const { question, k, options, ways, signal } = run;
    this.#answer.begin();
    this.#part(".follow").hidden = true;
    this.#part(".turns").replaceChildren(...messages.map(({ role, content }) => element("li", { class: role, dir: "auto" }, isolated(content))));
    if (messages.length) this.#part(".turns").append(element("li", { class: "user", dir: "auto" }, isolated(question)));
    try {
      const body = { question, k: Math.min(k, ANSWER_PASSAGES), messages, ...options, ...ways };
      for await (const { event, data } of api.answer(body, signal)) {
        if (event === "passages") this.#answer.passages(data.hits);
        else if (event === "token") this.#answer.token(data.text);
        else if (event === "answer") {
          this.#answer.finish(data);
          this.#turns = [...messages, { role: "user", content: question }, { role: "assistant", content: data.answer }];
          this.#asked = run;
          this.#part(".follow").hidden = false;
        }
      }
      this.#finished(signal);
    } catch (error) {
      this.#answer.stop(error.name === "AbortError" ? "Stopped." : "The answer broke off.");
      if (this.#controller?.signal === signal) this.#part(".follow").hidden = !messages.length; // to try again
      this.#failed(error, signal);
    }
  }

  /** Go on with the conversation; the hits stay those of its first question. */
  async #goOn(event) {
    event.preventDefault();
    const field = this.#part("[name=follow]");
    const question = field.value.trim();
    if (!question || !this.#asked) return;
    field.value = "";
    this.#controller?.abort();
    this.#controller = new AbortController();
    this.root.setAttribute("aria-busy", "true");
    this.busy();
    const before = this.#turns;
    this.#part(".notices .failure")?.remove();
    await this.answer({ ...this.#asked, question, signal: this.#controller.signal }, before);
    if (this.#turns === before && !field.value) field.value = question; // not answered: it can be sent again
    this.busy();
  }

  /** scale: milliseconds of the bar's full width. */
  showTimings(scale = total(this.result.timings_ms)) {
    const timings = this.#part(".timings");
    const spent = this.result.timings_ms;
    const line = element("p", { class: "timings-total" }, "Search ", element("b", {}, milliseconds(spent.total ?? total(spent))));
    timings.replaceChildren(line, ...timingBar(spent, scale));
    timings.hidden = false;
  }

  stop() {
    this.#controller?.abort();
  }

  clear() {
    this.stop();
    this.#controller = null;
    this.root.setAttribute("aria-busy", "false");
    this.result = null;
    this.#answer.hide();
    this.#part(".notices").replaceChildren();
    this.#part(".timings").hidden = true;
    this.#part(".hits").replaceChildren();
  }

  #part(selector) {
    return this.root.querySelector(selector);
  }

  /** Explanations cost time, so they are fetched once, for all hits, when the first is asked for. */
  #explainer(body) {
    let explained = null;
    return async (hit) => {
      explained ??= api.search({ ...body, explain: true }).catch((error) => {
        explained = null;
        throw error;
      });
      const found = (await explained).hits.find((other) => other.passage_id === hit.passage_id);
      if (!found?.explanation) throw new Error("The index has changed since: this passage is no longer among the hits. Ask again.");
      return found.explanation;
    };
  }

  #finished(signal) {
    if (this.#controller?.signal !== signal) return;
    this.#controller = null;
    this.root.setAttribute("aria-busy", "false");
  }

  /** Say what failed; a filter's error is the caller's, to show beside its field. */
  #failed(error, signal) {
    if (this.#controller?.signal !== signal) return false; // another question has taken over
    this.#finished(signal);
    if (!this.result) this.#part(".hits").replaceChildren();
    if (error.name === "AbortError") {
      if (!this.result) this.#part(".notices").append(element("p", { class: "quiet" }, "Stopped."));
      return false;
    }
    if (error.isAboutFilter) throw error;
    if (!(error instanceof api.ApiError)) console.error(error);
    this.#part(".notices").append(failureNotice(error, this.again));
    return false;
  }
}
