/** Milliseconds by stage as a bar, and the colours of stages. */

import { element, milliseconds } from "../dom.js";

const NAMES = {
  filter: "filter", encode: "encode", dense: "dense", lexical: "lexical", fusion: "fusion", hybrid: "fused",
  late_interaction: "late interaction", cross_encoder: "cross-encoder", passages: "passages", explain: "explain",
  support: "support", generate: "generate",
};

export const stageName = (stage) => NAMES[stage] ?? stage.replaceAll("_", " ");

/** A class with the stage's colour; stages that the page does not know share one. */
export const stageClass = (stage) => `stage-${stage in NAMES ? stage : "other"}`;

export function total(timings) {
  const stages = Object.entries(timings).filter(([stage]) => stage !== "total");
  // Stages that run beside each other may add up to more than passed.
  return Math.max(timings.total ?? 0, stages.reduce((sum, [, value]) => sum + value, 0));
}

/** Bar and legend; `scale`: milliseconds of the full width, the same for bars that are compared. */
export function timingBar(timings, scale = total(timings)) {
  const stages = Object.entries(timings).filter(([stage, value]) => stage !== "total" && value > 0);
  const rest = (timings.total ?? 0) - stages.reduce((sum, [, value]) => sum + value, 0);
  if (rest > 0.01 * scale) stages.push(["other", rest]);
  const bar = element("div", { class: "bar", "aria-hidden": "true" });
  const legend = element("ul", { class: "legend" });
  for (const [stage, value] of stages) {
    const piece = element("span", { class: `piece ${stageClass(stage)}`, title: `${stageName(stage)} ${milliseconds(value)}` });
    piece.style.setProperty("--share", String(value / (scale || 1)));
    bar.append(piece);
    legend.append(element("li", { class: stageClass(stage) }, stageName(stage), " ", element("b", {}, milliseconds(value))));
  }
  return [bar, legend];
}
