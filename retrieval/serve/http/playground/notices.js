/** What a reader must know of a result: part of the index missing, a question cut, a failure. */

import { count, element, isolated, number } from "./dom.js";

const notice = (kind, ...children) => element("div", { class: `notice ${kind}` }, ...children);

/** Warnings of a search's result. */
export function resultNotices(result) {
  const { coverage } = result;
  const notices = [];
  if (!coverage.full) {
    const lost = coverage.missing.length ? ` Missing: ${coverage.missing.join(", ")}.` : "";
    notices.push(notice("warning", element("strong", {}, "Partial result."),
      ` ${number(coverage.searched)} of ${count(coverage.passages, "passage")} were searched.`, isolated(lost)));
  }
  if (result.truncated) {
    notices.push(notice("warning", element("strong", {}, "Long question."), " Its end lies beyond the encoder's window and was not seen."));
  }
  if (result.only_stop_words) {
    notices.push(notice("plain", "The question has stop words only: the lexical search looked for them."));
  }
  if (result.matching !== undefined) {
    notices.push(notice("plain", `The filter keeps ${count(result.matching, "passage")}.`));
  }
  if (!result.hits.length) {
    notices.push(notice("empty", element("strong", {}, "No passage found."),
      result.matching === 0 ? " Nothing passes the filter." : " Try other words, or another mode."));
  }
  return notices;
}

/** A failure, with what to do next; `again` is called by a button where trying again may help. */
export function failureNotice(error, again) {
  const told = notice("failure", element("strong", {}, isolated(error.message)));
  const next = [error.hint, error.retryAfter && `Try again in ${error.retryAfter} s.`].filter(Boolean).join(" ");
  if (next) told.append(element("p", {}, isolated(next)));
  if (error.requestId) told.append(element("p", { class: "where" }, "request ", isolated(error.requestId)));
  if (error.isPassing) told.append(element("button", { type: "button", class: "secondary", onclick: again }, "Try again"));
  return told;
}
