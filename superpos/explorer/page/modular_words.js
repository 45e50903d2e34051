// What one sees of a model that calculates modulo p, in one sentence each, from its numbers.

const OPERATORS = { addition: "a + b", subtraction: "a − b", multiplication: "a · b", sum_of_squares: "a² + b²" };

export const MODULAR_MEANING = {
  loss: "Mean over pairs of −log of the probability of the right answer. Guessing pays ln p.",
  "train, test": "Pairs that the model is trained on, and all others, which it never sees.",
  frequency:
    "A wave cos(2πka/p) or sin(2πka/p) goes round k times over the numbers a = 0 … p − 1; k is 1 to (p − 1)/2.",
  "key frequency":
    "A frequency that holds 2 % or more of the energy of the map from neurons to logits, its constant left out, at " +
    "the end of training.",
  "restricted loss":
    "Loss on all pairs, from logits of which only the waves cos, sin 2πk(a + b)/p of key frequencies k are left.",
  "excluded loss":
    "Loss on training pairs, from logits without just these waves. It falls while the model memorises, and rises " +
    "as its answers come to depend on them.",
  memorisation: "Up to the step at which the excluded loss is least: the model learns its pairs by heart.",
  "circuit formation":
    "From there until the test loss falls below half of its maximum for good: the waves grow, and memory still " +
    "answers.",
  "clean-up":
    "From there until 99.9 % of the test pairs are right for good: weight decay removes what was memorised.",
  energy:
    "The squared length of the part of the embedding that turns with a frequency, as a share of that of all " +
    "frequencies.",
  circle:
    "The embeddings of all numbers, seen in the plane that cos and sin of one frequency pick out. On a circle, " +
    "adding numbers is turning.",
  "share of variance":
    "Of a neuron over all pairs: how much of it its best frequency explains, by products of 1, cos, sin of a with " +
    "1, cos, sin of b.",
  source: "Nanda et al. 2023, Progress measures for grokking via mechanistic interpretability, arXiv:2301.05217.",
};

const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
const steps = (n) => n.toLocaleString("en");

/** A share as a percentage: whole, or with a decimal where rounding would claim all or nothing. */
export function percentage(share) {
  const rounded = Math.round(100 * share);
  const close = (rounded === 100 && share < 1) || (rounded === 0 && share > 0);
  return `${close ? Math.min(99.9, Math.max(0.1, 100 * share)).toFixed(1) : rounded}\u00a0%`;
}

/** Numbers as a list in words: 3, 8 and 12. */
export function listed(numbers) {
  return numbers.length < 2 ? numbers.join("") : `${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
}

/** How it learned: by the ends of the phases, or by what it knows in the end. */
export function learningSentence({ phases, final, curves, measures }) {
  const last = Math.max(curves.steps.at(-1), measures.steps.at(-1));
  const [train, test] = [percentage(final.train_accuracy), percentage(final.test_accuracy)];
  const { memorised, circuit, clean } = phases;
  if (memorised !== null && circuit !== null && clean !== null)
    return (
      `It memorises until step ${steps(memorised)}, forms its circuit until step ${steps(circuit)}, and from step ` +
      `${steps(clean)} on it answers the pairs that it never saw.`
    );
  const known = `After ${steps(last)} steps it answers ${train} of the training pairs and ${test} of the others`;
  if (memorised !== null && circuit !== null)
    return `${known}: its circuit had formed by step ${steps(circuit)}, and the clean-up is not over.`;
  if (final.train_accuracy > 0.99 && final.test_accuracy < 0.9) return `${known}: it has memorised.`;
  return `${known}.`;
}

/** What the chart lacks, and why; empty where it lacks nothing. */
export function lackSentence({ operation, measures }) {
  if (operation !== "addition")
    return `Phases, restricted and excluded loss are defined for a + b; this task is ${OPERATORS[operation]}.`;
  if (measures.steps.length > 2) return "";
  return (
    "This sweep kept no snapshots, so phases, restricted and excluded loss are not known: train with " +
    "TrainConfig(snapshots=(0, 100, …)) to see them."
  );
}

/** Where the shown place lies in the phases. */
export function phaseAt({ phases }, step) {
  const { memorised, circuit, clean } = phases;
  if (memorised === null || circuit === null) return "";
  if (step < memorised) return "memorisation";
  if (step < circuit) return "circuit formation";
  return clean === null || step < clean ? "clean-up" : "after the clean-up";
}

/** What the spectrum shows at one place of training. */
export function spectrumSentence({ keys, count, energyAt }, at) {
  const energy = energyAt(at);
  const held = keys.reduce((sum, k) => sum + energy[k - 1], 0);
  if (!keys.length) return `No frequency of ${count} is key: none holds 2 % of the map from neurons to logits.`;
  if (keys.length > count / 2)
    return `The energy is spread: ${keys.length} of ${count} frequencies count as key.`;
  const names = keys.length === 1 ? `The key frequency ${keys[0]} holds` : `The key frequencies ${listed(keys)} hold`;
  return `${names} ${percentage(held)} of the embedding's energy.`;
}

/** What the circle of frequency `k`, the one at `place` of the list, shows at one place of training. */
export function circleSentence({ p, turningAt, turning_by_chance: chance }, at, place, k) {
  const share = turningAt(at, place);
  const turn = `${Math.round((360 * k) / p)}°`;
  const beyond = (share - chance) / (1 - chance);
  const what = beyond >= 0.85 ? "lie on a circle" : beyond >= 0.6 ? "lie roughly on a circle" : "lie on no circle";
  const spread = `${percentage(share)} of their spread in this plane turns by ${turn} from a to a\u00a0+\u00a01`;
  return `The ${p} numbers ${what}: ${spread} (by chance ${percentage(chance)} would).`;
}

/** What the neurons show at one place of training, with `single` the share from which a neuron is of one frequency. */
export function neuronSentence({ neurons, count, keys, frequencyAt, explainedAt }, at, single) {
  const [frequency, explained] = [frequencyAt(at), explainedAt(at)];
  const of = Array.from(explained.keys()).filter((n) => explained[n] > single);
  const key = of.filter((n) => keys.includes(frequency[n]));
  const share = percentage(of.length / neurons);
  const verb = of.length === 1 ? "follows" : "follow";
  const some = `${of.length} of ${counted(neurons, "neuron")} (${share}) ${verb} one frequency`;
  if (!of.length)
    return `No neuron of ${neurons} follows one frequency: none is explained by more than ${percentage(single)}.`;
  if (keys.length > count / 2) return `${some}.`;
  return `${some}, ${key.length === of.length ? "always" : `${key.length} of them`} a key frequency.`;
}
