// Scores of the chosen autoencoders beside what chance gets, all of them in one table, and what the words mean.

import { el, fixed, say, short } from "./dom.js";
import { nameOf, ordered } from "./sae_sweep.js";

const MEANING = {
  f1:
    "Each true feature is matched with one latent. F1 says how well “the latent fires” detects “the feature " +
    "is there” (harmonic mean of precision and recall), averaged over features.",
  precision: "How often the feature is there when its latent fires.",
  recall: "How often the latent fires when its feature is there.",
  mcc: "Mean cosine of features and latents matched one to one.",
  mmcs: "Mean over features of the largest cosine with any latent.",
  l0: "Mean number of latents that fire on an input.",
  explained_variance: "Share of the variance of the hidden layer that is reconstructed.",
  loss_recovered:
    "Share of the toy model's loss that is won back when it reads the reconstruction instead of its hidden layer.",
  shrinkage: "Length of the reconstruction relative to the hidden layer; 1 is right.",
  uniqueness: "Share of latents that are nearest for exactly one feature.",
  splitting: "Latents beyond one that point along the same feature.",
  absorption: "How often a child's latent speaks for its parent, too.",
  dead_share: "Share of latents that fire on no input.",
};

/** Two columns of scores, with those of random directions and of principal directions. */
export function createScores(saeSweep) {
  const table = el("table", { class: "scores" });
  const what = el(
    "dl",
    { class: "meaning" },
    ...saeSweep.scores
      .filter(({ name }) => MEANING[name])
      .flatMap(({ name, label }) => [el("dt", {}, label), el("dd", {}, MEANING[name])]),
    el("dt", {}, "density"),
    el("dd", {}, "Share of inputs on which a latent fires."),
    el("dt", {}, "chance"),
    el(
      "dd",
      {},
      "As many random directions, read by ReLU(Dᵀh).",
      " PCA: the principal directions of h with both signs, read the same way.",
    ),
  );
  const node = el(
    "div",
    {},
    table,
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
        const chance = ["random", "pca"].map((base) => saeSweep.beside[`${base}_${name}`]);
        return el(
          "tr",
          {},
          el("th", { scope: "row" }, label),
          el("td", { class: "a" }, fixed(values[a], 3)),
          two ? el("td", { class: "b" }, fixed(values[b], 3)) : null,
          ...chance.map((column) => el("td", { class: "chance" }, column ? fixed(column[a]) : "")),
        );
      };
      const head = ["score", two ? "A" : "value", ...(two ? ["B"] : []), "chance", "PCA"];
      const rows = saeSweep.scores.map(row);
      const l0 = saeSweep.scores.findIndex(({ name }) => name === "l0");
      if (l0 >= 0)
        rows.splice(
          l0 + 1,
          0,
          el(
            "tr",
            { class: "under" },
            el("th", { scope: "row" }, "truly active features"),
            el("td", {}, fixed(saeSweep.beside.l0_true[a], 3)),
            two ? el("td", {}, fixed(saeSweep.beside.l0_true[b], 3)) : null,
            el("td", {}),
            el("td", {}),
          ),
        );
      rows.push(
        el(
          "tr",
          {},
          el("th", { scope: "row" }, "loss (of its own objective)"),
          el("td", { class: "a" }, say(saeSweep.loss[a])),
          two ? el("td", { class: "b" }, say(saeSweep.loss[b])) : null,
          el("td", {}),
          el("td", {}),
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
        el("tbody", {}, ...rows),
      );
    },
  };
}

const TABLE_SCORES = ["f1", "mcc", "l0", "explained_variance", "dead_share"];
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
    ...scores.map((score) => ({
      name: score.name,
      label: score.label,
      key: (c) => score.values[c],
      show: (c) => fixed(score.values[c], 3),
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
        : `All ${saeSweep.nCells.toLocaleString("en")} autoencoders in a table`,
    ),
    el("div", { class: "scroll" }, el("table", { class: "latents" }, el("thead", {}, head), body)),
    note,
  );
  let [sort, up, built] = [columns.find(({ name }) => name === "f1")?.name ?? columns[0].name, false, ""];

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
      `The latents of ${kept} of ${sound.toLocaleString("en")} autoencoders are on this page: the best of every ` +
        `setting by loss, then the next best while there is room. Of the others it has the numbers.`,
    );
  if (broken) parts.push(`${broken} diverged or ${broken === 1 ? "is" : "are"} missing.`);
  return parts.join(" ");
}
