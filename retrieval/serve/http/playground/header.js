/** The header: which index answers, and what it holds. */

import * as api from "./service/api.js";
import { count, fillFacts, find, isolated, number } from "./dom.js";

/** Show the index in the header, and the fields that a filter may name. `offer`: is given the ways to answer. */
export async function showIndex(offer) {
  let info;
  try {
    info = await api.index();
  } catch (error) {
    find("index-line").replaceChildren(isolated(error.message));
    find("index").classList.add("failed");
    return;
  }
  offer(info.decodes ?? []);
  find("index").classList.toggle("failed", Boolean(info.refused));
  const refused = info.refused ? ` · version ${info.refused.version} was refused` : "";
  find("index-line").replaceChildren(`Version ${info.version} · ${count(info.passages, "passage")}${refused}`);
  fillFacts(find("index-facts"), facts(info).filter(([, value]) => value));
  const fields = Object.entries(info.metadata ?? {});
  find("filter-fields").hidden = !fields.length;
  find("filter-fields").replaceChildren("Fields: ", ...fields.flatMap(([name, type], place) => [place ? ", " : "", isolated(`${name} (${type})`)]));
}

const facts = (info) => [
  ["documents", number(info.documents)],
  ["passages", number(info.passages)],
  ["shards", number(info.shards)],
  ["built", info.created],
  ["embedding", info.model],
  ["late interaction", info.late_interaction],
  ["lexical", info.lexical ? "BM25" : "none"],
  ["generator", info.generator],
  ["refused", info.refused?.why],
];
