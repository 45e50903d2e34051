// Scores of the chosen autoencoders beside what chance gets, all of them in one table, and what the words mean.

import { el, fixed, say, short } from "./dom.js";
import { unitOf } from "./dictionary_kinds.js";
import { nameOf, ordered } from "./sae_sweep.js";

const MEANING = {
  f1:
    "Each true feature is matched with one latent. F1 says how well “the latent fires” detects “the feature " +
    "is there” (harmonic mean of precision and recall), averaged over features.",
  precision: "How often the feature is there when its latent fires.",
  recall: "How often the latent fires when its feature is there.",
  mcc: "Mean cosine of features and latents matched one to one.",
  mmcs: "Mean over features of the largest cosine with any of them.",
  l0: "Mean number of them that are active on an input.",
  explained_variance: "Share of the variance of the hidden layer that is reconstructed.",
  loss_recovered:
    "Share of the toy model's loss that is won back when it reads the reconstruction instead of its hidden layer.",
  shrinkage: "Length of the reconstruction relative to the hidden layer; 1 is right.",
  uniqueness: "Share of latents that are nearest for exactly one feature.",
  splitting: "Latents beyond one that point along the same feature.",
  absorption: "How often a child's latent speaks for its parent, too.",
  dead_share: "Share of them that are active on no input.",
  n_exclusive: "Latents of which one model has more than .9 of the norms of the decoder.",
  false_exclusive: "Of them those whose nearest feature several models have.",
  decoupled: "Features of several models of which each has an exclusive latent of its own.",
  missed: "Features of one model alone whose latent is not exclusive to it.",
  slope_agreement:
    "Cosine of how outputs respond to one feature alone, by the transcoder and by the circuit of the layer's neurons.",
  paired: "Features of which exactly one latent reads each side and writes to it.",
  one_feature: "Latents that read one feature most and write to the same one.",
  subspace_recovery: "Mean squared cosine of the principal angles between a manifold's subspace and its latents' own.",
  tiling: "How many latents belong to a manifold: half of their column or more lies in its subspace. Mean of all.",
  active_at_once: "How many of them fire where their manifold is.",
  mixed: "Live latents that belong to no manifold.",
  ml2r: "Length of what the nearest subcomponent adds to a column of W, relative to the column; mean over features.",
  live: "Subcomponents that some input needs (importance above .1), in all matrices.",
  importance_error: "Importances for inputs of one feature that differ from one subcomponent for every feature.",
  faithfulness: "Squared difference of the sum of all subcomponents from the target's matrices.",
  stochastic: "Squared error of the output with masks drawn at random.",
  adversarial: "Squared error of the output with the masks that hurt most, by gradient ascent.",
  without: "Squared error of the output with no subcomponent at all.",
  one_each: "Features that need one subcomponent of the first matrix, which no other feature alone needs.",
  live_first: "Subcomponents of the first matrix that some input needs (importance above .1).",
  live_second: "Those of the second matrix.",
  together: "Share of the second matrix's live ones that an input of one feature needs, in the mean: 1 for one block.",
  neuron_cosine: "How nearly each reads one neuron alone: largest cosine of its vector of neurons, in the mean.",
};

// Scores that count something.
const COUNTS = new Set([
  "n_exclusive",
  "false_exclusive",
  "decoupled",
  "missed",
  "paired",
  "one_feature",
  "mixed",
  "live",
  "live_first",
  "live_second",
  "one_each",
  "importance_error",
]);
// Errors that are small numbers.
const ERRORS = new Set(["faithfulness", "stochastic", "adversarial", "without"]);
const score = (name, value) =>
  ERRORS.has(name) && Number.isFinite(value) ? value.toExponential(1) : fixed(value, COUNTS.has(name) ? 0 : 3);

/** Two columns of scores, with those of random directions and of principal directions. */
export function createScores(saeSweep) {
  const baselines = [
    ["random", "chance"],
    ["pca", "PCA"],
  ].filter(([base]) =>
    saeSweep.scores.some(({ name }) => saeSweep.beside[`${base}_${name}`]?.some((v) => Number.isFinite(v))),
  );
  const table = el("table", { class: "scores" });
  const what = el(
    "dl",
    { class: "meaning" },
    ...saeSweep.scores
      .filter(({ name }) => MEANING[name])
      .flatMap(({ name, label }) => [el("dt", {}, label), el("dd", {}, MEANING[name])]),
    el("dt", {}, "density"),
    el("dd", {}, "Share of inputs on which one is active."),
    ...(saeSweep.kind === "decomposition"
      ? [
          el("dt", {}, "in W, in Wᵀ"),
          el("dd", {}, "Causal importance of a subcomponent for the input with one feature, in each matrix."),
          el("dt", {}, "reads"),
          el("dd", {}, "Its V: how much of a feature it takes."),
          el("dt", {}, "writes"),
          el("dd", {}, "Cosine of what it adds to a feature's column of W with this column."),
        ]
      : []),
    ...(saeSweep.kind === "network"
      ? [
          el("dt", {}, "needed"),
          el("dd", {}, "Causal importance of a subcomponent for the input with one feature."),
          el("dt", {}, "features, neurons"),
          el(
            "dd",
            {},
            "A subcomponent is one vector over features times one over neurons, of length 1.",
            " The first matrix reads features and writes to neurons, the second reads neurons and writes to features.",
          ),
        ]
      : []),
    ...(saeSweep.signed
      ? [el("dt", {}, "3+, 3−"), el("dd", {}, "Feature 3 above 0, and below 0: its two sides.")]
      : []),
    ...(baselines.length
      ? [
          el("dt", {}, "chance"),
          el(
            "dd",
            {},
            "As many random directions, read by ReLU(Dᵀh).",
            " PCA: the principal directions of h with both signs, read the same way.",
          ),
        ]
      : []),
  );
  const node = el(
    "div",
    {},
    table,
    saeSweep.note ? el("p", { class: "note" }, saeSweep.note) : null,
    el(
      "details",
      {},
      el("summary", {}, "What the numbers mean"),
      what,
      el("p", { class: "note" }, `Judged on ${saeSweep.nInputs.toLocaleString("en")} fresh inputs.`),
    ),
  );
  return {
    node,
    show({ a, b }) {
      const two = b >= 0;
      const row = ({ name, label, values }) => {
        const chance = baselines.map(([base]) => saeSweep.beside[`${base}_${name}`]);
        return el(
          "tr",
          {},
          el("th", { scope: "row" }, label),
          el("td", { class: "a" }, score(name, values[a])),
          two ? el("td", { class: "b" }, score(name, values[b])) : null,
          ...chance.map((column) => el("td", { class: "chance" }, column ? fixed(column[a]) : "")),
        );
      };
      const head = ["score", two ? "A" : "value", ...(two ? ["B"] : []), ...baselines.map(([, word]) => word)];
      const empty = () => baselines.map(() => el("td", {}));
      const rows = saeSweep.scores.map(row);
      const under = (name, beside, text) => {
        const at = rows.findIndex((_, k) => saeSweep.scores[k]?.name === name);
        if (at < 0) return;
        rows[at] = [
          rows[at],
          el(
            "tr",
            { class: "under" },
            el("th", { scope: "row" }, text),
            el("td", {}, score(name, saeSweep.beside[beside][a])),
            two ? el("td", {}, score(name, saeSweep.beside[beside][b])) : null,
            ...empty(),
          ),
        ];
      };
      under("l0", "l0_true", saeSweep.kind === "manifolds" ? "truly active manifolds" : "truly active features");
      under("paired", "paired_neurons", "… with a pair of neurons");
      rows.push(
        el(
          "tr",
          {},
          el("th", { scope: "row" }, "loss (of its own objective)"),
          el("td", { class: "a" }, say(saeSweep.loss[a])),
          two ? el("td", { class: "b" }, say(saeSweep.loss[b])) : null,
          ...empty(),
        ),
      );
      table.replaceChildren(
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ...head.map((text, k) =>
              el("th", { scope: "col", class: text === "B" ? "b" : k === 1 ? "a" : null }, text),
            ),
          ),
        ),
        el("tbody", {}, ...rows.flat()),
      );
    },
  };
}

const OF_KINDS = ["slope_agreement", "paired", "n_exclusive", "false_exclusive", "subspace_recovery", "tiling"];
const OF_NETWORKS = ["one_each", "live_first", "live_second", "together"];
const TABLE_SCORES = ["f1", "mcc", ...OF_KINDS, ...OF_NETWORKS, "l0", "explained_variance", "dead_share"];
const MAX_ROWS = 2000;

/** Every autoencoder of the sweep in a table that opens on demand; `onpick(cell, asB)`. */
export function createSweepTable(saeSweep, { state, onpick }) {
  const scores = TABLE_SCORES.map((name) => saeSweep.score(name)).filter(Boolean);
  const axes = saeSweep.axes.filter((axis) => axis.name !== "architecture" && axis.values.length > 1);
  const word = (axis, cell) => (axis.index[cell] < 0 ? "–" : say(axis.values[axis.index[cell]]));
  const several = Object.keys(saeSweep.architectures).length > 1;
  const columns = [
    ...(several
      ? [
          {
            name: "architecture",
            label: "architecture",
            key: (c) => saeSweep.architecture.index.values[c],
            show: (c) => short(saeSweep.architectures[saeSweep.architecture.at(c)][0], 40),
          },
        ]
      : []),
    ...axes.map((axis) => ({
      name: `axis ${axis.name}`,
      label: short(axis.label, 40),
      key: (c) => (axis.index[c] < 0 ? Number.NaN : axis.index[c]),
      show: (c) => word(axis, c),
    })),
    ...scores.map((one) => ({
      name: one.name,
      label: one.label,
      key: (c) => one.values[c],
      show: (c) => score(one.name, one.values[c]),
    })),
  ];
  const head = el("tr", {});
  const body = el("tbody", {});
  const sound = Array.from(saeSweep.sound).filter(Boolean).length;
  const [broken, kept] = [saeSweep.nCells - sound, saeSweep.shown.length];
  const note = el("p", { class: "note" });
  const node = el(
    "details",
    { class: "card wide sweep-table", ontoggle: () => show(state.get(), true) },
    el(
      "summary",
      {},
      saeSweep.nCells === 1
        ? "Its numbers in a table"
        : `All ${saeSweep.nCells.toLocaleString("en")} ${saeSweep.one}s in a table`,
    ),
    el("div", { class: "scroll" }, el("table", { class: "latents" }, el("thead", {}, head), body)),
    note,
  );
  let [sort, up, built] = [columns.find(({ name }) => name === saeSweep.chief)?.name ?? columns[0].name, false, ""];

  function show(s, force) {
    if (!node.open || (!force && built === `${s.a} ${s.b}`)) return;
    built = `${s.a} ${s.b}`;
    const column = columns.find(({ name }) => name === sort);
    const cells = ordered(
      Array.from({ length: saeSweep.nCells }, (_, c) => c).filter((c) => saeSweep.sound[c]),
      column.key,
      up,
    ).slice(0, MAX_ROWS);
    head.replaceChildren(
      ...columns.map((c) =>
        el(
          "th",
          { scope: "col", "aria-sort": c === column ? (up ? "ascending" : "descending") : null },
          el(
            "button",
            {
              type: "button",
              onclick: () => {
                [sort, up] = [c.name, c === column ? !up : c.name.startsWith("axis")];
                show(state.get(), true);
              },
            },
            c.label,
            el("span", { "aria-hidden": "true" }, c === column ? (up ? " ▲" : " ▼") : ""),
          ),
        ),
      ),
      el("th", { scope: "col" }, "look"),
    );
    body.replaceChildren(
      ...cells.map((c) =>
        el(
          "tr",
          { class: c === s.a ? "chosen" : null },
          ...columns.map((column_, k) => el(k ? "td" : "th", { scope: k ? null : "row" }, column_.show(c))),
          el(
            "td",
            { class: "look" },
            ...["A", "B"].map((letter) =>
              el(
                "button",
                {
                  type: "button",
                  "aria-pressed": String(c === (letter === "A" ? s.a : s.b)),
                  "aria-label": `${nameOf(saeSweep, c)} as ${letter}`,
                  onclick: () => onpick(c, letter === "B"),
                },
                letter,
              ),
            ),
            saeSweep.has(c) ? null : el("small", {}, " numbers only"),
          ),
        ),
      ),
    );
    const listed = sound > MAX_ROWS ? `The first ${MAX_ROWS.toLocaleString("en")} are listed. ` : "";
    note.textContent = `${listed}${leftOut(saeSweep, kept, sound, broken)}`;
  }
  return { node, show };
}

/** What the page does not hold, in words. */
export function leftOut(
  saeSweep,
  kept = saeSweep.shown.length,
  sound = Array.from(saeSweep.sound).filter(Boolean).length,
  broken = saeSweep.nCells - sound,
) {
  const parts = [];
  if (kept < sound)
    parts.push(
      `The ${unitOf(saeSweep.kind)}s of ${kept} of ${sound.toLocaleString("en")} ${saeSweep.one}s are on this page: ` +
        `the best of every setting by loss, then the next best while there is room. Of the others it has the numbers.`,
    );
  if (broken) parts.push(`${broken} diverged or ${broken === 1 ? "is" : "are"} missing.`);
  return parts.join(" ");
}
