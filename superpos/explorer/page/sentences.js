// Models and inputs in a sentence.

import { say, short } from "./dom.js";

const WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/** A small number as a word, a large one in digits; `capital` begins a sentence. */
export function inWords(count, capital = false) {
  const word = WORDS[count] ?? String(count);
  return capital ? word[0].toUpperCase() + word.slice(1) : word;
}

const PLURALS = {
  dedicated: "dedicated",
  tetrahedron: "tetrahedra",
  octahedron: "octahedra",
  icosahedron: "icosahedra",
};
const plural = (word) =>
  PLURALS[word] ?? (word.endsWith("simplex") ? word.replace(/simplex$/, "simplices") : `${word}s`);
const article = (word) => (/^[aeiou8]/.test(word) ? "an" : "a");

/** "a pentagon", "2 antipodal pairs", "a triangle and an antipodal pair". */
export function shapesInWords(name) {
  const parts = short(name, 120)
    .split(" + ")
    .map((part) => {
      const [, count, word] = part.match(/^(?:(\d+) × )?(.*)$/);
      if (word === "dedicated") return count ? `${count} dedicated directions` : "a dedicated direction";
      return count ? `${count} ${plural(word)}` : `${article(word)} ${word}`;
    });
  return parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts[0];
}

const features = (count) => (count === 1 ? "1 feature" : `${count} features`);
const dimensions = (count) => (count === 1 ? "1 dimension" : `${count} dimensions`);

const FILLED = 0.99; // of all dimensions, from which none is left

/** What the dimensions are spent on: "5 features share 2 dimensions as a pentagon: each keeps 0.40 of one." */
export function shareInWords({ n, m, name, norms, D, represented, packing }) {
  const long = [...norms.keys()].filter((i) => norms[i] > 0.5);
  if (!represented) return `None of the ${features(n)} is represented.`;
  const without = (count) => (count === 0 ? "." : `; ${count === 1 ? "1 is" : `${count} are`} left out.`);
  const rest = without(n - represented);
  const shares = long.map((i) => D[i]);
  const [least, most] = [Math.min(...shares), Math.max(...shares)];
  const even = most - least < 0.02;
  const each = shares.length === 1 ? "it keeps" : "each keeps";
  const kept = even
    ? `${each} ${((least + most) / 2).toFixed(2)} of one`
    : `they keep ${least.toFixed(2)} to ${most.toFixed(2)} of one each`;
  if (/^(\d+ × )?dedicated$/.test(name)) {
    const own =
      represented === 1 ? "1 feature has a dimension of its own" : `${features(represented)} have a dimension each`;
    return `${own}: ${kept}${rest}`;
  }
  const isRegular = !/irregular|shared feature|diverged|missing/.test(name);
  if (!isRegular && packing > FILLED) {
    const inside = Array.from(D).filter((d) => d >= 0.005);
    const [lowest, highest] = [Math.min(...inside).toFixed(2), Math.max(...inside).toFixed(2)];
    const filling = `${features(inside.length)} fill ${dimensions(m)} in no regular shape`;
    return `${filling}: they keep ${lowest} to ${highest} of one each${without(n - inside.length)}`;
  }
  const verb = represented === 1 ? "uses" : represented > m ? "share" : "use";
  const shape = isRegular ? `as ${shapesInWords(name)}` : "in no regular shape";
  return `${features(represented)} ${verb} ${dimensions(m)} ${shape}: ${kept}${rest}`;
}

/** What lies on the silent features, and what bias and activation function leave of it. */
export function interferenceInWords({ silent, before, below, after }, active, { activation, b }) {
  if (!active.length) return "Every feature is off. Switch one on.";
  const which =
    active.length === 1
      ? `Feature ${active[0]} is on`
      : active.length <= 4
        ? `Features ${active.slice(0, -1).join(", ")} and ${active.at(-1)} are on`
        : `${active.length} features are on`;
  if (!silent) return `${which}; none is silent.`;
  const others = silent === 1 ? "the silent one" : `the ${silent} silent ones`;
  const number = (value) => value.toFixed(2);
  const cutting = activation === "relu" ? "ReLU" : "activation function";
  const cut = b.some((value) => value !== 0) ? `bias and ${cutting} leave` : `${cutting} leaves`;
  const negative = below > 0.005 && activation === "relu" ? ` (${number(below)} of it negative)` : "";
  return `${which}. On ${others} lies interference of ${number(before)} in all${negative}; ${cut} ${number(after)}.`;
}

/** "At density 0.05", or nothing where it is not known. */
export const atDensity = (density) => (density === null ? "" : `At density ${say(density, 2)}, `);
