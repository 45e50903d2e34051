// Which features of one model share dimensions, and in which shape: superpos.analysis.components again.

import { eigen } from "./algebra.js";
import { matchShape } from "./shapes.js";

/** Cosines of all features, 0 with those that are not represented. */
function directions(G, norms, n, above) {
  const cosines = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    if (norms[i] <= above) continue;
    for (let j = 0; j < n; j++) {
      if (norms[j] > above)
        cosines[i * n + j] = i === j ? 1 : Math.min(1, Math.max(-1, G[i * n + j] / (norms[i] * norms[j])));
    }
  }
  return cosines;
}

const inside = (cosines, n, group) =>
  Float64Array.from(
    { length: group.length ** 2 },
    (_, at) => cosines[group[Math.floor(at / group.length)] * n + group[at % group.length]],
  );

/** The connected parts of a group, with an edge where |cos| > `above`. */
function connected(cosines, n, group, above) {
  const left = new Set(group);
  const parts = [];
  for (const first of group) {
    if (!left.delete(first)) continue;
    const part = [first];
    for (const i of part) {
      for (const j of left) {
        if (Math.abs(cosines[i * n + j]) > above) {
          left.delete(j);
          part.push(j);
        }
      }
    }
    parts.push(part.sort((a, b) => a - b));
  }
  return parts;
}

/** Whether nothing outside disturbs the shape that a group's cosines fit. */
function isApart(model, group, match, { leak, D: limitD, intrusion: limitIn, norms: ratio }) {
  const { cosines, n, norms, D, represented } = model;
  const k = group.length;
  const highest = k > 1 ? leak[2] : leak[1];
  const allowed = Math.min(highest, Math.max(leak[1], leak[0] * Math.sqrt(represented - k))) ** 2;
  let [sum, most] = [0, 0];
  for (const i of group) {
    let [total, within] = [0, 0];
    for (let j = 0; j < n; j++) total += cosines[i * n + j] ** 2;
    for (const j of group) within += cosines[i * n + j] ** 2;
    const squared = Math.max(total - within, 0) / within;
    [sum, most] = [sum + squared, Math.max(most, squared)];
  }
  if (sum / k > allowed || most > 4 * allowed) return false;
  for (let j = 0; j < n; j++) {
    if (group.includes(j)) continue;
    if (group.reduce((share, i) => share + cosines[i * n + j] ** 2, 0) > (limitIn * k) / match.dimensions) return false;
  }
  for (const [u, i] of group.entries()) {
    const exact =
      norms[i] ** 2 / group.reduce((shared, j, v) => shared + match.ideal[u * k + v] ** 2 * norms[j] ** 2, 0);
    if (!(Math.abs(D[i] - exact) <= limitD)) return false;
  }
  const lengths = group.map((i) => norms[i]);
  return Math.min(...lengths) >= ratio * Math.max(...lengths);
}

function component(model, group, naming) {
  const match = matchShape(inside(model.cosines, model.n, group), group.length, naming);
  const { irregular } = naming.words;
  const name = match.name === irregular || isApart(model, group, match, naming.limits) ? match.name : irregular;
  return { name, features: group, dimensions: match.dimensions, residual: match.residual };
}

/** The parts of an irregular group, or the group itself where they are no better. */
function cut(model, group, above, naming) {
  const { irregular } = naming.words;
  if (group.name !== irregular || group.features.length === 1) return [group];
  const parts = connected(model.cosines, model.n, group.features, above);
  if (parts.length === 1) return [group];
  const named = parts.map((part) => component(model, part, naming));
  const dimensions = named.reduce((sum, part) => sum + (part.name === irregular ? 0 : part.dimensions), 0);
  const { values } = eigen(inside(model.cosines, model.n, group.features), group.features.length);
  const spanned = values.filter((value) => value > naming.limits.spanned).length;
  return dimensions > 0 && dimensions <= spanned ? named : [group];
}

const counted = (count, noun) => (count === 1 ? `1 ${noun}` : `${count} ${noun}s`);

/** A component in words, as the library says it. */
export function componentName({ name, features, dimensions }, words) {
  if (name !== words.irregular) return name;
  if (features.length === 1) return words.shared;
  return `${words.irregular} (${counted(features.length, "feature")}, ${counted(dimensions, "dimension")})`;
}

/** Most features in a model that can be named here. */
export const nameable = (n, naming) => n <= naming.shapes.length;

/**
 * The name of a model and its largest residual, from what `measure` says of it: { name, residual, components }.
 * The same as superpos.geometry(W).name for up to as many features as the page has shapes for.
 */
export function nameOfModel({ gram, norms, D }, n, naming) {
  const { limits, words } = naming;
  const group = [...norms.keys()].filter((i) => norms[i] > limits.represented);
  const model = { cosines: directions(gram, norms, n, limits.represented), n, norms, D, represented: group.length };
  let parts = connected(model.cosines, n, group, limits.join[0]).map((part) => component(model, part, naming));
  for (const above of limits.join.slice(1)) parts = parts.flatMap((part) => cut(model, part, above, naming));
  const rank = (part) => [Number(part.name === words.irregular), -part.features.length, ...part.features];
  const before = (a, b) => {
    const [x, y] = [rank(a), rank(b)];
    const at = x.findIndex((value, k) => value !== y[k]);
    return at < 0 ? 0 : x[at] - y[at];
  };
  const counts = new Map();
  for (const part of parts.sort(before)) {
    const name = componentName(part, words);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const name = [...counts].map(([word, count]) => (count === 1 ? word : `${count} × ${word}`)).join(" + ");
  return {
    name: name || "nothing represented",
    residual: Math.max(0, ...parts.map((part) => part.residual)),
    components: parts,
  };
}
