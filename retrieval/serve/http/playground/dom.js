/** Elements from plain values. Text goes in as text nodes only, so that corpus text is never markup. */

/** An element; `on…` functions are listeners, other values attributes, null and false are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const find = (id) => document.getElementById(id);

/** Foreign text within a line of ours: its bidirectional controls end with it. */
export const isolated = (text) => element("bdi", {}, String(text));

/** Fill a definition list; values are foreign text. */
export function fillFacts(list, facts) {
  list.replaceChildren(
    ...facts.map(([name, value]) => element("div", {}, element("dt", {}, isolated(name)), element("dd", {}, isolated(value)))),
  );
}

const whole = new Intl.NumberFormat("en");

export const count = (value, one, many = `${one}s`) => `${whole.format(value)} ${value === 1 ? one : many}`;
export const number = (value) => whole.format(value);

/** A score with about three figures: those of stages differ by orders of magnitude. */
export function score(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 || size === 0 ? 3 : 4);
}

export const milliseconds = (value) => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`);

/** Say something to screen readers that sighted readers see anyway. */
export function announce(text) {
  find("status").textContent = text;
}
