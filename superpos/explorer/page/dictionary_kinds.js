// What differs between autoencoders, crosscoders, transcoders, dictionaries of manifolds, and decompositions.

import { fixed } from "./dom.js";

// What a latent is, by its F1 as a detector of the feature it is matched with.
export const CLEAN = 0.9;
// The share of its norms that makes a latent exclusive to a model, as in superpos.analysis.crosscoders.
export const EXCLUSIVE_ABOVE = 0.9;

/** A share in per cent as a person writes it. */
export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  if (share === 0) return "0 %";
  return share < 0.001 ? "<0.1 %" : `${Number((100 * share).toPrecision(share < 0.1 ? 2 : 3))} %`;
}

const caught = (sae, row) =>
  ` When it does, ${sae.called(sae.matched[row])} is there ${percent(sae.precision[row])} of the time, and it ` +
  `catches ${percent(sae.recall[row])} of the times that ${sae.called(sae.matched[row])} is there.`;

/** What an autoencoder's latent does. */
function ofFeatures(sae, row) {
  if (sae.matched[row] >= 0) return caught(sae, row);
  const [first] = sae.features(row);
  return (
    ` No feature is left for it: all are matched with other latents` +
    `${first ? `; it fires mostly with ${sae.called(first.index)}` : ""}.`
  );
}

function ofModels(sae, row) {
  const shares = Array.from(sae.shares(row), (share, m) => `model ${m} has ${percent(share)}`);
  const only = sae.exclusive[row];
  const belongs = only < 0 ? "It is shared" : `It is exclusive to model ${only}`;
  return `${ofFeatures(sae, row)} ${belongs}: of the norms of its decoder ${shares.join(", ")}.`;
}

function ofLayer(sae, row) {
  const written = sae.written[row];
  if (sae.matched[row] < 0) return " It writes next to nothing, or reads what is never there.";
  return `${caught(sae, row)} It reads ${sae.called(sae.matched[row])} most, and writes most to feature ${written}.`;
}

function ofManifolds(sae, row) {
  const [nearest, share] = [sae.nearest[row], sae.blocks[0].at(sae.nearest[row], row)];
  if (sae.matched[row] < 0)
    return ` No subspace holds half of its column: that of ${sae.called(nearest)} has the most, ${percent(share)}.`;
  return (
    ` When it does, ${sae.called(nearest)} is there ${percent(sae.precision[row])} of the time. It fires at ` +
    `${percent(sae.recall[row])} of the inputs with ${sae.called(nearest)}, which is its tile. ` +
    `${percent(share)} of its column lies in the subspace of ${sae.called(nearest)}.`
  );
}

/** What a subcomponent of W is needed for. */
function ofWeights(sae, row) {
  const k = sae.alone[row];
  if (!k) return ` No feature alone needs it in W: it is there for inputs of several.`;
  const own = sae.called(sae.matched[row]);
  const what = k === 1 ? `${own} alone` : `${k} features, ${own} most`;
  return (
    ` Of these ${percent(sae.precision[row])} have ${own}; of inputs with ${own} ${percent(sae.recall[row])} ` +
    `need it. Of inputs with one feature those of ${what} need it in W.`
  );
}

/** What a subcomponent of a network's matrix is needed for. */
function ofMatrix(sae, row) {
  const k = sae.alone[row];
  if (!k) return " No feature alone needs it: it is there for inputs of several.";
  const own = sae.called(sae.matched[row]);
  const every = k === sae.n ? "every feature" : `${k} features`;
  const what = k === 1 ? `${own} alone` : `${every}, ${own} most`;
  return (
    ` Of these ${percent(sae.precision[row])} have ${own}; of inputs with ${own} ${percent(sae.recall[row])} ` +
    `need it. Of inputs with one feature those of ${what} need it.`
  );
}

const many = (k, one, more = `${one}s`) => `${k} ${k === 1 ? one : more}`;

/** Features that both find, and where B is better. */
function tallyOfFeatures(A, B) {
  const [a, b] = [A, B].map((sae) => Array.from(sae.matched).filter((m, row) => m >= 0 && sae.f1[row] >= CLEAN).length);
  let [both, better] = [0, 0];
  for (const [row, feature] of A.matched.entries()) {
    const other = feature < 0 ? -1 : B.matched.indexOf(feature);
    if (other < 0) continue;
    both += 1;
    if (B.f1[other] > A.f1[row]) better += 1;
  }
  return (
    `With F1 of ${CLEAN} or more, A finds ${many(a, "feature")} and B ${b}. Of ${many(both, "feature")} ` +
    `matched in both, B is better at ${better}.`
  );
}

const tallyOf = (sort, words, unit = "latent") => (A, B) => {
  const count = (sae) => Array.from(sae.index.keys()).filter((row) => sae.sort(row).startsWith(sort)).length;
  const [a, b] = [count(A), count(B)];
  return `A has ${many(a, unit)} ${words} and B ${b}.`;
};
const tallyOfModels = (A, B) => `${tallyOf("only", "of one model alone")(A, B)} ${tallyOfFeatures(A, B)}`;

const F1 = { name: "f1", label: "F1", of: (sae) => (row) => sae.f1[row] };

// How one speaks of a latent and its inputs, and of a subcomponent, which does not fire: inputs need it.
const FIRES = {
  does: "fires on",
  with: "fires with",
  never: "It never fires.",
  onNone: "It fired on none of the inputs.",
  value: "activation",
  inputs: "Inputs that make it fire",
  chosen: "make the chosen one fire",
};
const IS_NEEDED = {
  does: "is needed by",
  with: "is needed with",
  never: "It is never needed.",
  onNone: "None of the inputs needs it.",
  value: "importance",
  inputs: "Inputs that need it",
  chosen: "need the chosen one",
};

/**
 * By kind: what they are called, sorts of latents with the rule that says which one a latent is, what a row of the
 * table measures (`main`), what its target is called there, and words for one latent and for two dictionaries.
 */
export const KINDS = {
  autoencoder: {
    one: "autoencoder",
    target: "feature",
    atlas: "Cosines of true features (rows) and latents (columns)",
    map: { least: "cosine −1", most: "1", word: "cosine", rows: "true features" },
    sorts: () => ({
      clean: "finds its feature",
      partly: "finds it in part",
      surplus: "without a feature",
      dead: "dead",
    }),
    sort: (sae, row) => (sae.matched[row] < 0 ? "surplus" : sae.f1[row] >= CLEAN ? "clean" : "partly"),
    main: F1,
    sortedBy: ["f1", false],
    words: ofFeatures,
    tally: tallyOfFeatures,
  },
  crosscoder: {
    one: "crosscoder",
    target: "feature",
    atlas: "Cosines of true features (rows) and latents (columns) within each model",
    map: { least: "cosine −1", most: "1", word: "cosine", rows: "true features" },
    sorts: (models) => ({
      shared: "shared",
      ...Object.fromEntries(Array.from({ length: models }, (_, m) => [`only${m}`, `exclusive to model ${m}`])),
      dead: "dead",
    }),
    sort: (sae, row) => (sae.exclusive[row] < 0 ? "shared" : `only${sae.exclusive[row]}`),
    main: F1,
    share: true,
    sortedBy: ["f1", false],
    words: ofModels,
    tally: tallyOfModels,
  },
  transcoder: {
    one: "transcoder",
    target: "reads",
    atlas: "What latents (columns) read of features (rows), and what they write",
    map: { least: "weight −1", most: "1", word: "weight", rows: "features" },
    sorts: () => ({
      whole: "reads and writes one feature",
      other: "writes another than it reads",
      idle: "reads or writes next to nothing",
      dead: "dead",
    }),
    sort: (sae, row) =>
      sae.matched[row] < 0 ? "idle" : sae.numberOf(sae.matched[row]) === sae.written[row] ? "whole" : "other",
    main: F1,
    sortedBy: ["f1", false],
    words: ofLayer,
    tally: tallyOf("whole", "of one feature"),
  },
  manifolds: {
    one: "autoencoder",
    target: "manifold",
    atlas: "Share of each latent (columns) in the subspace of each manifold (rows)",
    map: { least: "share 0", most: "1", word: "share", rows: "manifolds" },
    sorts: () => ({ member: "of a manifold", surplus: "of none", dead: "dead" }),
    sort: (sae, row) => (sae.matched[row] < 0 ? "surplus" : "member"),
    main: {
      name: "share",
      label: "in subspace",
      of: (sae) => (row) => (sae.nearest[row] < 0 ? Number.NaN : sae.blocks[0].at(sae.nearest[row], row)),
    },
    sortedBy: ["feature", true],
    words: ofManifolds,
    tally: tallyOf("member", "that belong to a manifold"),
  },
  decomposition: {
    one: "decomposition",
    unit: "subcomponent",
    says: IS_NEEDED,
    mapBesidePlane: true, // importances have no other place
    target: "feature",
    atlas: "Importances of subcomponents (columns) for inputs of one feature (rows), and what they read and write",
    map: { least: "−1", most: "1", word: "value", rows: "features", labelsRight: true },
    sorts: () => ({
      whole: "for one feature",
      split: "for several features",
      idle: "for no feature alone",
      dead: "dead",
    }),
    sort: (sae, row) => (sae.alone[row] === 1 ? "whole" : sae.alone[row] ? "split" : "idle"),
    main: {
      name: "importance",
      label: "importance",
      of: (sae) => (row) => (sae.matched[row] < 0 ? Number.NaN : sae.blocks[0].at(sae.matched[row], row)),
    },
    sortedBy: ["feature", true],
    words: ofWeights,
    tally: tallyOf("whole", "for one feature alone", "subcomponent"),
  },
  network: {
    one: "decomposition",
    unit: "subcomponent",
    says: IS_NEEDED,
    mapBesidePlane: true,
    target: "feature",
    atlas:
      "Importances of subcomponents (columns) for inputs of one feature (rows); their features and neurons",
    map: { least: "−1", most: "1", word: "value", rows: "features", labelsRight: true },
    sorts: () => ({
      whole: "for one feature",
      split: "for several features",
      every: "for every feature",
      idle: "for no feature alone",
      dead: "dead",
    }),
    sort: (sae, row) => {
      const k = sae.alone[row];
      return k === 0 ? "idle" : k === 1 ? "whole" : k === sae.n ? "every" : "split";
    },
    main: {
      name: "importance",
      label: "importance",
      of: (sae) => (row) => (sae.matched[row] < 0 ? Number.NaN : sae.blocks[0].at(sae.matched[row], row)),
    },
    sortedBy: ["feature", true],
    words: ofMatrix,
    tally: tallyOf("whole", "for one feature alone", "subcomponent"),
  },
};

/** What the parts of a kind are called. */
export const unitOf = (kind) => KINDS[kind].unit ?? "latent";

/** How one speaks of them. */
export const saysOf = (kind) => KINDS[kind].says ?? FIRES;

/** What a latent does, in a sentence or two. */
export function inWords(sae, row) {
  const { does, onNone } = saysOf(sae.kind);
  if (sae.frequency[row] === 0) return onNone;
  return `It ${does} ${percent(sae.frequency[row])} of inputs.${KINDS[sae.kind].words(sae, row)}`;
}

/** Numbers of a latent under its name, as pairs of a word and a text. */
export function facts(sae, row) {
  const [own, density] = [sae.matched[row], ["density", percent(sae.frequency[row])]];
  const quality = [
    ["precision", fixed(sae.precision[row])],
    ["recall", fixed(sae.recall[row])],
    density,
  ];
  const weight = (block, target) => (target < 0 ? "–" : fixed(sae.blocks[block].at(target, row)));
  if (sae.kind === "manifolds")
    return [
      ["in subspace", fixed(KINDS.manifolds.main.of(sae)(row))],
      ["precision", fixed(sae.precision[row])],
      ["tile", percent(sae.recall[row])],
      density,
    ];
  if (sae.kind === "decomposition")
    return [
      ...sae.blocks.slice(0, -2).map((block) => [`needed ${block.label}`, own < 0 ? "–" : fixed(block.at(own, row))]),
      ["reads", weight(sae.blocks.length - 2, own)],
      ["writes", weight(sae.blocks.length - 1, own)],
      ["precision", fixed(sae.precision[row])],
      density,
    ];
  if (sae.kind === "network")
    return [
      ["needed", weight(0, own)],
      [sae.group(row) ? "writes" : "reads", weight(1, own)],
      ["precision", fixed(sae.precision[row])],
      density,
    ];
  const f1 = ["F1", fixed(sae.f1[row])];
  if (sae.kind === "transcoder")
    return [f1, ...quality, ["reads", weight(0, own)], ["writes", own < 0 ? "–" : weight(1, sae.written[row])]];
  return [f1, ...quality, ["cosine", own < 0 ? "–" : fixed(sae.cosine(own, row))]];
}
