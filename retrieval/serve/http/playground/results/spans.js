/** Spans of characters in a text. The service counts code points, JavaScript UTF-16 units. */

const SURROGATES = /[\ud800-\udfff]/;

/** A function from a place in code points to the place in UTF-16 units. */
export function places(text) {
  if (!SURROGATES.test(text)) return (place) => place;
  const units = [0];
  for (const character of text) units.push(units.at(-1) + character.length);
  return (place) => units[Math.min(Math.max(place, 0), units.length - 1)];
}

/**
 * A text as nodes: `mark(span, text)` makes the node of each span, the rest is plain text.
 * Spans have `start` and `end` in code points; one that overlaps an earlier one is left out.
 */
export function marked(text, spans, mark) {
  const at = places(text);
  const nodes = [];
  let done = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const [start, end] = [at(span.start), at(span.end)];
    if (start < done || end <= start || end > text.length) continue;
    nodes.push(text.slice(done, start), mark(span, text.slice(start, end)));
    done = end;
  }
  nodes.push(text.slice(done));
  return nodes;
}

/** Where a citation's quote is in a passage, in code points; null if it is not there. */
export function quoteSpan(citation, passage) {
  const at = places(passage.text);
  const [start, end] = [citation.start - passage.start, citation.end - passage.start];
  if (start >= 0 && passage.text.slice(at(start), at(end)) === citation.quote) return { start, end };
  const place = citation.quote ? passage.text.indexOf(citation.quote) : -1;
  if (place < 0) return null;
  const before = [...passage.text.slice(0, place)].length;
  return { start: before, end: before + [...citation.quote].length };
}
