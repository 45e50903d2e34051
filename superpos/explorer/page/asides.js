// What the story says beside its sentences, in small print.

import { say } from "./dom.js";
import { meetings } from "./reconstruct.js";
import { atDensity } from "./sentences.js";

const ALWAYS = 0.95; // density from which features count as always there
const LITTLE = 0.02; // by which losses may differ that count as equal

/**
 * Why starts that lose the same end in different places. Without the ReLU's bend any projection of n such features onto
 * m directions has the same loss, n − m times the variance of one.
 */
export function denseAside({ n, name, density }, { cells, model }, starts) {
  const losses = starts.map((c) => cells.loss.values[c]);
  const [least, most] = [Math.min(...losses), Math.max(...losses)];
  const areEqual = model.equal.slice(0, n).every((kind) => kind === model.equal[0]);
  if (!/irregular|shared feature/.test(name) || !areEqual || !(density >= ALWAYS)) return "";
  if (starts.length < 2 || !(most - least < LITTLE * least)) return "";
  const percent = (100 * (most - least)) / least;
  const share = percent < 0.1 ? "less than 0.1" : say(percent, 1);
  return (
    "Features that matter equally and are always there leave it to chance which directions are kept: all choices " +
    `lose nearly the same. These ${starts.length} starts differ by ${share} % in loss.`
  );
}

/** Why sharing pays where features are rare. */
export function whyAside({ n, density, activation }) {
  const cut =
    activation === "relu"
      ? "Negative interference costs nothing: ReLU cuts it off. A negative bias takes small positive " +
        "interference, too. "
      : "";
  if (density === null) return cut;
  const share = 100 * meetings(n, density);
  return (
    `${cut}${atDensity(density)}two or more of the ${n} features meet in ${say(share, 2)} % of ` +
    `inputs; the rarer that is, the less sharing costs.`
  );
}
