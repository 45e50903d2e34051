// What one sees of a model that predicts repeated tokens, in one sentence each, from its numbers.

import { fixed, say } from "./dom.js";

export const INDUCTION_MEANING = {
  attention:
    "From each position (query) a head reads this and earlier positions (keys). Its weights on them lie between 0 " +
    "and 1, and their sum is 1.",
  token: "What stands at a position: a number of the vocabulary. The sequences repeat a random segment of tokens.",
  period: "Distance from a token to its next occurrence. It is drawn anew for every sequence.",
  "previous-token score": "Mean attention from a position to the one before it: 1 where a head looks nowhere else.",
  "induction score":
    "Mean attention from a token to what followed the same token earlier, over positions at which it occurred " +
    "before. Also called the prefix-matching score.",
  "previous-token head": "A head whose previous-token score is above 0.5.",
  "induction head":
    "A head whose induction score is above 0.6: it finds where the present token stood before, and looks one further.",
  loss:
    "Mean of −log of the probability of the next token, in nats, where it can be known: from the second copy on. " +
    "Without context a model pays ln V, with V tokens.",
  source: "Olsson et al. 2022, In-context Learning and Induction Heads, arXiv:2209.11895, with its erratum.",
};

/** How a head is called: layer.head. */
export const headName = (model, h) => `${Math.floor(h / model.heads)}.${h % model.heads}`;

const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/** Heads that count as one of the two kinds at one place of training: { previous, induction }, numbers of heads. */
export function kindsAt(model, at, limits) {
  const above = (values, limit) => Array.from(values.keys()).filter((h) => values[h] > limit);
  const [previous, induction] = [model.previousAt(at), model.inductionAt(at)];
  return { previous: above(previous, limits.previous), induction: above(induction, limits.induction) };
}

/** What one head counts as. */
export function kindOf(model, at, h, limits) {
  const { previous, induction } = kindsAt(model, at, limits);
  return induction.includes(h) ? "induction head" : previous.includes(h) ? "previous-token head" : "";
}

/** How the loss fell, and the score that rose. `limits` say from which scores a head counts. */
export function timeSentence(model, limits) {
  const last = model.steps.length - 1;
  const [end, chance] = [model.loss[last], model.chance];
  const scores = model.inductionAt(last);
  const best = scores.indexOf(Math.max(...scores));
  const name = `head ${headName(model, best)}`;
  if (last > 2 && model.fall && scores[best] > limits.induction && end < 0.5 * chance) {
    const [from, , to] = model.fall.map((step) => Math.round(step).toLocaleString("en"));
    const first = model.inductionAt(0)[best];
    return (
      `Between step ${from} and step ${to} the loss makes most of its way from ${say(model.loss[0], 2)} to ` +
      `${say(end, 2)}, and the induction score of ${name} rises from ${fixed(first)} to ${fixed(scores[best])}.`
    );
  }
  const level = `In the end the loss is ${say(end, 2)}, where ${say(chance, 2)} is that of knowing nothing`;
  return scores[best] > limits.induction
    ? `${level}, and ${name} has an induction score of ${fixed(scores[best])}.`
    : `${level}; no head is an induction head, the highest induction score is ${fixed(scores[best])}.`;
}

/** What kinds of heads there are at one place of training. */
export function headsSentence(model, at, limits) {
  const { previous, induction } = kindsAt(model, at, limits);
  const some = (which, noun) =>
    which.length
      ? `${which.length === 1 ? "Head" : "Heads"} ${listed(which.map((h) => headName(model, h)))} ` +
        `${which.length === 1 ? `is a ${noun}` : `are ${noun}s`}`.replace("a induction", "an induction")
      : "";
  const parts = [some(previous, "previous-token head"), some(induction, "induction head")].filter(Boolean);
  const all = model.layers * model.heads;
  if (!parts.length) return `None of the ${all} heads looks back by rule: no score reaches the level of a name.`;
  return `${parts.join("; ").replace("; H", "; h")}.`;
}

/** Whether a key is what an induction head looks for: the token before it is the query's own, earlier. */
export const follows = (tokens, query, key) => key > 0 && key <= query && tokens[key - 1] === tokens[query];

/** The two scores of one head on the sequence that is drawn; NaN for what no position has. */
export function scoresOnSequence({ tokens, drawn, patternAt }, at, h) {
  const weights = patternAt(at, h);
  let [previous, induction, queries] = [0, 0, 0];
  for (let i = 0; i < drawn; i++) {
    if (i) previous += weights(i, i - 1) / (drawn - 1);
    const keys = Array.from({ length: i + 1 }, (_, j) => j).filter((j) => follows(tokens, i, j));
    if (keys.length) queries += 1;
    for (const j of keys) induction += weights(i, j);
  }
  return { previous, induction: queries ? induction / queries : Number.NaN };
}

/** What one head does on the sequence that is drawn, at one place of training. */
export function patternSentence(model, at, h) {
  const { previous, induction } = scoresOnSequence(model, at, h);
  const share = (x) => `${Math.round(100 * x)}\u00a0%`;
  return (
    `Here head ${headName(model, h)} puts ${share(previous)} of its attention on the token before` +
    (Number.isFinite(induction)
      ? `, and where a token comes again, ${share(induction)} on what followed it earlier.`
      : ".")
  );
}
