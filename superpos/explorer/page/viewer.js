// The page of sparse autoencoders, crosscoders and transcoders: a sweep to choose from, latents to look at, two side by
// side.

import { el, labelled, select } from "./dom.js";
import { createState } from "./state.js";
import { isDark } from "./color.js";
import { nameOf, readSaeSweep } from "./sae_sweep.js";
import { KINDS, saysOf, unitOf } from "./dictionary_kinds.js";
import { createScatter, quantities } from "./scatter.js";
import { createScores, createSweepTable, leftOut } from "./scores.js";
import { createCosineMap, createDirections } from "./dictionary_view.js";
import { createLatents } from "./latents.js";
import { createLatent } from "./latent.js";
import { createTiling } from "./tiling.js";
import { createPageFrame } from "./page_frame.js";

const FIRST = -2; // a latent that nobody has chosen yet: the first of the table

/** The one of highest F1, or what stands for it, among those whose latents are here. */
export function bestShown(saeSweep) {
  const by = saeSweep.score(saeSweep.chief)?.values ?? saeSweep.loss.map((v) => -v);
  return saeSweep.shown.reduce((p, q) => (by[q] > by[p] || !Number.isFinite(by[p]) ? q : p));
}

/** The one that stands for a setting of which only numbers are here: the same but for seed and source. */
export function standIn(saeSweep, cell) {
  const axes = saeSweep.axes.filter(({ name }) => name !== "seed" && name !== "source");
  return saeSweep.shown.find((c) => axes.every(({ index }) => index[c] === index[cell])) ?? bestShown(saeSweep);
}

/**
 * Fill `root` with the viewer. `link` is false where there is no address to keep the state in; `theme` is what it
 * begins with.
 */
export function start(root, text, { link = true, theme = "" } = {}) {
  const data = JSON.parse(text);
  const saeSweep = readSaeSweep(data);
  const kind = KINDS[saeSweep.kind];
  const keys = quantities(saeSweep).map(({ key }) => key);
  const has = (key) => keys.includes(key);
  const defaults = {
    a: bestShown(saeSweep),
    b: -1,
    latent: FIRST,
    other: FIRST,
    q: "",
    kind: "",
    sort: kind.sortedBy[0],
    up: kind.sortedBy[1],
    match: "feature",
    strip: "top",
    x: has("l0") ? "l0" : keys[0],
    y: has(saeSweep.chief) ? saeSweep.chief : (keys[1] ?? keys[0]),
    yaw: 0.6,
    pitch: 0.35,
    theme,
  };
  const state = createState(defaults, { link });
  const pageFrame = createPageFrame(root, { title: data.title, caption: data.caption, state, link });

  /** Another autoencoder; the feature that one looks at stays, if it is found there. */
  function choose(cell, asB) {
    const s = state.get();
    if (asB) {
      state.set({ b: cell, other: FIRST });
      return;
    }
    const [old, next] = [saeSweep.open(s.a), saeSweep.open(cell)];
    const row = old && s.latent >= 0 ? old.rowOf.get(s.latent) : undefined;
    const feature = row === undefined ? -1 : old.matched[row];
    const there = next && feature >= 0 ? next.matched.indexOf(feature) : -1;
    state.set({ a: cell, latent: there >= 0 ? next.index[there] : FIRST, other: FIRST });
  }
  const pickLatent = (latent, side) => {
    const partner = (which) => (saeSweep.open(state.get().b) ? latents.partner(latent, which) : FIRST);
    state.set(side === "b" ? { other: latent, latent: partner(1) } : { latent, other: partner(0) });
  };
  const unit = unitOf(saeSweep.kind);
  const units = `${unit}s`;
  const Units = units[0].toUpperCase() + units.slice(1);
  const scatter = createScatter(saeSweep, { state, onpick: choose });
  const scores = createScores(saeSweep);
  const sweepTable = createSweepTable(saeSweep, { state, onpick: choose });
  const turn = (yaw, pitch) => state.set({ yaw, pitch });
  const pictures = ["a", "b"].map((side) => ({
    map: createCosineMap({ side, kind: saeSweep.kind, onpick: pickLatent }),
    tiling: createTiling({ side, onpick: (name) => state.set({ q: name }) }),
    directions: createDirections({ side, onpick: pickLatent, onturn: turn }),
  }));
  const pick = (latent, other) => state.set({ latent, other });
  const latents = createLatents({ state, unit, onpick: pick });
  const panels = ["a", "b"].map((side) => createLatent({ side, state, onpick: pickLatent, sorts: saeSweep.sorts }));
  const choices = el("div", { class: "controls choosing" });
  const announcer = el("p", { class: "unseen", role: "status" });
  const missing = el("div", { class: "missing" });
  const title = el("h2", { class: "small" });
  const latentCard = el(
    "section",
    { class: "card latents-card", "aria-label": units },
    title,
    missing,
    latents.node,
  );
  const dictionaryTitle = el("h2", { class: "small" });
  const dictionaryView = el(
    "div",
    { class: "dictionary-view" },
    ...pictures.flatMap(({ map, directions, tiling }) => [directions.node, map.node, tiling.node]),
  );
  const out = el("p", { class: "note left-out" }, leftOut(saeSweep));
  pageFrame.main.classList.add("viewer");
  const isSweep = saeSweep.nCells > 1;
  const hasChoices = isSweep || leftOut(saeSweep); // otherwise the card would be empty
  pageFrame.main.classList.toggle("alone", !hasChoices);
  const chooseCard = el(
    "section",
    { class: "card choose", "aria-label": `${saeSweep.one}s to choose from` },
    el(
      "h2",
      { class: "small" },
      isSweep ? `${saeSweep.nCells.toLocaleString("en")} ${saeSweep.one}s` : `One ${saeSweep.one}`,
    ),
    ...(isSweep ? [choices, scatter.node] : []),
    leftOut(saeSweep) ? out : null,
  );
  pageFrame.main.append(
    ...(hasChoices ? [chooseCard] : []),
    el("section", { class: "card dictionary-card", "aria-label": "the dictionary" }, dictionaryTitle, dictionaryView),
    el(
      "section",
      { class: "card scores-card", "aria-label": "scores" },
      el("h2", { class: "small" }, "Scores"),
      scores.node,
    ),
    latentCard,
    ...panels.map(({ node }) => node),
    ...(isSweep ? [sweepTable.node] : []),
    announcer,
  );

  function sanitize(s) {
    const cell = (c) => Number.isInteger(c) && c >= 0 && c < saeSweep.nCells && saeSweep.sound[c];
    if (!cell(s.a)) s.a = defaults.a;
    if (!cell(s.b)) s.b = -1;
    for (const axis of ["x", "y"]) if (!has(s[axis])) s[axis] = defaults[axis];
    if (s.kind && !Object.hasOwn(saeSweep.sorts, s.kind)) s.kind = "";
    if (!["feature", "cosine"].includes(s.match)) s.match = "feature";
    if (!["top", "samples"].includes(s.strip)) s.strip = "top";
    if (!["light", "dark"].includes(s.theme)) s.theme = "";
    s.q = s.q.slice(0, 200);
    if (s.yaw !== s.yaw || s.pitch !== s.pitch) [s.yaw, s.pitch] = [defaults.yaw, defaults.pitch];
  }
  /** Selects of A and B: those whose latents are here, and the chosen one. */
  let listed = "";
  function showChoices(s) {
    if (listed === `${s.a} ${s.b}`) return;
    listed = `${s.a} ${s.b}`;
    const focused = [...choices.querySelectorAll("select")].indexOf(document.activeElement);
    const pairsOf = (chosen) =>
      [...new Set([...saeSweep.shown, ...(chosen >= 0 ? [chosen] : [])])]
        .sort((p, q) => p - q)
        .map((c) => [c, nameOf(saeSweep, c)]);
    choices.replaceChildren(
      labelled(
        "look at (A)",
        select(pairsOf(s.a), s.a, (c) => choose(Number(c), false), `${saeSweep.one} A`),
      ),
      labelled(
        "compare with (B)",
        select([[-1, "nothing"], ...pairsOf(s.b)], s.b, (c) => choose(Number(c), true), `${saeSweep.one} B`),
      ),
    );
    if (focused >= 0) choices.querySelectorAll("select")[focused].focus();
  }
  function showAtlas(A, B, s, dark) {
    dictionaryView.classList.toggle("two", Boolean(B));
    const inPlane = (sae) => !sae.shares && !sae.written && sae.m > 1 && sae.m <= 3;
    const dots = `dots are hidden layers that ${saysOf(saeSweep.kind).chosen}`;
    dictionaryTitle.textContent =
      A && inPlane(A)
        ? saeSweep.kind === "manifolds"
          ? `Latents; ${dots}`
          : `True features (dashed) and ${units}; ${dots}`
        : kind.atlas;
    for (const [k, [sae, latent, letter]] of [
      [A, s.latent, "A"],
      [B, s.other, "B"],
    ].entries()) {
      const { map, directions, tiling } = pictures[k];
      const plane = Boolean(sae) && inPlane(sae);
      tiling.node.hidden = !sae?.manifolds;
      map.node.hidden = !sae || (plane && !kind.mapBesidePlane);
      directions.node.hidden = !plane;
      if (!sae) continue;
      const row = sae.rowOf.get(latent) ?? -1;
      const name = B ? `${letter}: ${nameOf(saeSweep, k ? s.b : s.a)}` : "";
      if (plane) directions.show(sae, row, s.yaw, s.pitch, name);
      if (!map.node.hidden) map.show(sae, row, dark, name);
      if (sae.manifolds) tiling.show(sae, sae.matched[row] ?? -1);
    }
  }
  function render() {
    const s = state.get();
    sanitize(s);
    const dark = isDark(root);
    const [A, B] = [saeSweep.open(s.a), saeSweep.open(s.b)];
    missing.hidden = Boolean(A) && (s.b < 0 || Boolean(B));
    const [lacking, asB] = A ? [s.b, true] : [s.a, false];
    if (!missing.hidden) {
      missing.replaceChildren(
        el("p", {}, `Of ${nameOf(saeSweep, lacking)} this page has only the numbers.`),
        el(
          "button",
          { type: "button", onclick: () => choose(standIn(saeSweep, lacking), asB) },
          "Look at one of its setting that is here in full",
        ),
      );
    }
    latents.node.hidden = !A;
    title.textContent = B && A ? `${Units} of both, side by side` : Units;
    showChoices(s);
    if (A) {
      latents.show(A, B, s);
      const valid = (sae, latent) => latent === -1 || sae.rowOf.has(latent);
      if (!B) s.other = FIRST;
      if (B && s.other === FIRST && s.latent !== FIRST && valid(A, s.latent)) s.other = latents.partner(s.latent, 0);
      if (!valid(A, s.latent) || (B && !valid(B, s.other)) || (s.latent === -1 && (!B || s.other === -1))) {
        const first = latents.first() ?? [A.index[0] ?? -1, -1];
        [s.latent, s.other] = [first[0], B ? first[1] : FIRST];
      }
      latents.show(A, B, s);
    }
    panels[0].node.hidden = !A;
    panels[1].node.hidden = !A || !B;
    pageFrame.main.classList.toggle("both", Boolean(A && B));
    if (A) panels[0].show(A, s.latent, nameOf(saeSweep, s.a), s);
    if (A && B) panels[1].show(B, s.other, nameOf(saeSweep, s.b), s);
    scores.show(s);
    if (isSweep) {
      scatter.show(dark);
      sweepTable.show(s);
    }
    showAtlas(A, A && B, s, dark);
    const called = (cell, sae, latent) =>
      `${nameOf(saeSweep, cell)}${sae && latent >= 0 ? `, ${unit} ${sae.name(latent)}` : ""}`;
    announcer.textContent = `${called(s.a, A, s.latent)}${B ? `; B: ${called(s.b, B, s.other)}` : ""}`;
  }
  state.listen(render);
  globalThis.addEventListener("resize", render);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  render();
  root.dataset.ready = String(Math.round(performance.now()));
}
