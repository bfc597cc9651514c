/** What the address holds: question, filter and settings, so that a view can be shared. */

export const MODES = ["", "dense", "lexical", "hybrid"];
export const RERANKS = ["", "none", "late-interaction", "cross-encoder"];
export const DECODES = ["", "prompt", "sequence", "sequence-fast", "token", "active"];
export const HOPS = ["", "1", "2", "3"];
export const MAX_K = 100;
const K = 10;
// The second setting begins with what every index has, and differs from the default.
const FIRST = [
  { mode: "", rerank: "", k: K, decode: "", hops: "" },
  { mode: "dense", rerank: "none", k: K, decode: "", hops: "" },
];

/** The view that a query string describes; what it gets wrong takes the default. */
export function readView(text) {
  const given = new URLSearchParams(text);
  const settings = FIRST.map((first, place) => {
    const value = (name) => given.get(place ? `${name}${place + 1}` : name);
    return {
      mode: MODES.includes(value("mode")) ? value("mode") : first.mode,
      rerank: RERANKS.includes(value("rerank")) ? value("rerank") : first.rerank,
      k: wholeK(value("k"), first.k),
      decode: DECODES.includes(value("decode")) ? value("decode") : first.decode,
      hops: HOPS.includes(value("hops")) ? value("hops") : first.hops,
    };
  });
  return { question: given.get("q") ?? "", filter: given.get("filter") ?? "", compare: given.get("compare") === "1", settings };
}

/** The query string of a view, without what is default. */
export function writeView({ question, filter, compare, settings }) {
  const values = new URLSearchParams();
  if (question) values.set("q", question);
  if (filter) values.set("filter", filter);
  settings.slice(0, compare ? 2 : 1).forEach((setting, place) => {
    for (const [name, value] of Object.entries(setting)) {
      if (value !== FIRST[place][name]) values.set(place ? `${name}${place + 1}` : name, value);
    }
  });
  if (compare) values.set("compare", "1");
  return values.toString();
}

function wholeK(text, otherwise) {
  const k = Number(text);
  return text && Number.isInteger(k) && k >= 1 && k <= MAX_K ? k : otherwise;
}
