// The page of a sweep: map, geometry, time and live training, over one state.

import { el, say, short } from "./dom.js";
import { createState } from "./state.js";
import { decode, decodeWords } from "./decode.js";
import { isDark, shapeColors } from "./color.js";
import { measure, planeShape } from "./measure.js";
import { createMap, describe, indexCells } from "./map.js";
import { createPicture, miniature } from "./picture.js";
import { createBars, createHeat } from "./panels.js";
import { createPageFrame } from "./page_frame.js";
import { LIVE, createLive, sensible } from "./live_training.js";
import { createPredict } from "./predict.js";
import { createTime } from "./time.js";

/** A sweep from the page's data. */
export function readSweep(data) {
  const cells = {};
  for (const [name, coded] of Object.entries(data.cells)) cells[name] = coded?.words ? decodeWords(coded) : decode(coded);
  const axes = data.axes.map((axis) => ({ ...axis, index: axis.index ? decode(axis.index).values : null }));
  const sweep = { ...data, cells, axes, nCells: data.n_cells, shape: cells.shape };
  sweep.index = indexCells(sweep);
  if (data.history) sweep.history = { steps: data.history.steps, loss: decode(data.history.loss) };
  if (data.snapshots) sweep.snapshots = { steps: data.snapshots.steps, W: decode(data.snapshots.W) };
  return sweep;
}

/** The corner of a padded W that a model of its own size fills. */
export function corner(values, width, m, n) {
  const W = new Float64Array(m * n);
  for (let k = 0; k < m; k++) for (let i = 0; i < n; i++) W[k * n + i] = values[k * width + i] || 0;
  return W;
}

/** What the panels show of one cell. */
export function viewOf(sweep, cell, colorOf, dark, snapshot = -1) {
  const [m, n] = [sweep.cells.m.values[cell], sweep.cells.n.values[cell]];
  const [, mMost, width] = sweep.cells.W.shape;
  const stored = snapshot < 0 ? sweep.cells.W.row(cell) : sweep.snapshots.W.row(cell).subarray(snapshot * mMost * width, (snapshot + 1) * mMost * width);
  const W = corner(stored, width, m, n);
  const found = measure(W, m, n);
  if (snapshot < 0) {
    found.norms = Float64Array.from(sweep.cells.norm.row(cell).subarray(0, n));
    found.D = Float64Array.from(sweep.cells.dimensionality.row(cell).subarray(0, n));
  }
  const name = sweep.shape.at(cell);
  const density = sweep.axes.findIndex((axis) => axis.name === "feature_probability");
  return {
    m, n, W, ...found, name, color: colorOf(name, dark),
    residual: sweep.cells.residual.values[cell],
    loss: sweep.cells.loss.values[cell],
    density: density < 0 ? null : sweep.axes[density].values[sweep.index[density][cell]],
    said: `${n} features in ${m} dimensions: ${short(name)}`,
  };
}

/** Cell of lowest loss among those that are not damaged. */
export function bestCell(sweep) {
  let best = 0;
  const loss = sweep.cells.loss.values;
  for (let c = 1; c < sweep.nCells; c++) if (loss[c] < loss[best] || !Number.isFinite(loss[best])) best = c;
  return best;
}

function startingAxes(sweep) {
  const long = sweep.axes.map((axis, a) => [a, axis]).filter(([, axis]) => axis.values.length > 1);
  const first = [...long.filter(([, axis]) => axis.name !== "seed"), ...long.filter(([, axis]) => axis.name === "seed")].map(([a]) => a);
  return [first[0] ?? 0, first[1] ?? (first[0] ?? 0)];
}

/** What the panels show of a model in live training. */
export function liveView(model, { m, n, p }, colorOf, dark) {
  const found = measure(model.W, m, n);
  const plane = m === 2 ? planeShape(model.W, n) : { name: `${found.represented} features in space`, residual: Number.NaN };
  return { m, n, W: model.W, ...found, ...plane, loss: model.loss, color: m === 2 ? colorOf(plane.name, dark) : "#8aa0b8", density: p, said: `${n} features in ${m} dimensions: ${plane.name}` };
}

/** Cells that differ from one only in their seed. */
export function siblings(sweep, cell) {
  const seed = sweep.axes.findIndex((axis) => axis.name === "seed");
  if (seed < 0 || sweep.flat) return [];
  return Array.from({ length: sweep.nCells }, (_, c) => c).filter((c) => sweep.index.every((of, a) => a === seed || of[c] === of[cell]));
}

/** Loss curve and D_i at every snapshot of a cell. */
export function trackOf(sweep, cell, views) {
  const { history, snapshots } = sweep;
  return {
    lossSteps: history?.steps ?? [],
    loss: history ? Array.from(history.loss.row(cell)) : [],
    steps: snapshots?.steps ?? [],
    D: views.map((view) => view.D),
    lack: snapshots ? "" : "This sweep kept no snapshots: train with TrainConfig(snapshots=(0, 100, …)) to scrub through time.",
  };
}

const MAX_MINIATURES = 16;

/** Fill `root` with the explorer. `link` is false where there is no address to keep the state in; `theme` is what it begins with. */
export function start(root, text, { link = true, theme = "" } = {}) {
  const sweep = readSweep(JSON.parse(text));
  const colorOf = shapeColors(sweep.colors);
  const [x, y] = startingAxes(sweep);
  const defaults = { mode: "sweep", cell: bestCell(sweep), x, y, color: "shape", snap: -1, pick: -1, yaw: 0.6, pitch: 0.35, theme, ask: false };
  const state = createState({ ...defaults, ...LIVE }, { link });
  const pageFrame = createPageFrame(root, { title: sweep.title, caption: sweep.caption, state, link });
  let [hovered, view, track, views, framesKey] = [-1, null, null, [], ""];

  const onhover = (feature) => {
    if (feature === hovered) return;
    hovered = feature;
    light();
  };
  const map = createMap(sweep, { state, colorOf, onpick: (cell) => state.set({ cell, snap: -1 }) });
  const live = createLive({ state, onframe: () => state.get().mode === "live" && render() });
  const picture = createPicture({ onhover, onturn: (yaw, pitch) => state.set({ yaw, pitch }) });
  const heat = createHeat({ onhover });
  const bars = createBars({ onhover });
  const time = createTime({ onscrub: (snap) => state.set({ snap: snap >= track.steps.length - 1 && state.get().mode === "live" ? -1 : snap }) });
  const predict = createPredict({ state, onanswer: () => render() });
  const name = el("h2", { class: "shape-name" });
  const facts = el("p", { class: "facts" });
  const announcer = el("p", { class: "unseen", role: "status" });
  const minis = el("div", { class: "minis" });
  const miniTitle = el("h3", {});
  const tab = (mode, words) => el("button", { type: "button", role: "tab", "data-mode": mode, onclick: () => {
    time.pause();
    state.set({ mode, snap: -1, pick: -1 });
  } }, words);
  const tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "what to look at" }, tab("sweep", "The sweep"), tab("live", "Train here"));
  const timeCard = el("section", { class: "card time", "aria-label": "training in time" }, el("h3", {}, "Training"), time.node);
  const miniCard = el("section", { class: "card seeds", "aria-label": "other starts" }, miniTitle, minis);
  pageFrame.main.append(
    el("section", { class: "card from", "aria-label": "models to choose from" }, tabs, map.node, live.node),
    el("section", { class: "card geometry", "aria-label": "geometry" }, el("div", { class: "naming" }, el("div", {}, name, facts, predict.verdict), predict.toggle), el("div", { class: "stage" }, picture.node, predict.cover), announcer),
    el("section", { class: "card numbers", "aria-label": "numbers" }, el("h3", {}, "WᵀW"), heat.node, el("h3", {}, "Features"), bars.node),
    timeCard, miniCard,
  );

  function light() {
    for (const node of root.querySelectorAll("[data-feature]")) node.classList.toggle("lit", Number(node.dataset.feature) === hovered);
    pageFrame.main.classList.toggle("lighting", hovered >= 0);
    if (!view) return;
    const dark = isDark(root);
    heat.show(view, hovered, dark);
    time.show(track, shownSnapshot(), hovered, dark);
  }
  function shownSnapshot() {
    const { snap } = state.get();
    const last = track.steps.length - 1;
    return snap < 0 ? Math.max(0, last) : Math.min(snap, last);
  }
  /** Repair what a link may say wrongly. */
  function sanitize(s) {
    if (!(Number.isInteger(s.cell) && s.cell >= 0 && s.cell < sweep.nCells)) s.cell = defaults.cell;
    for (const axis of ["x", "y"]) if (!sweep.axes[s[axis]]) s[axis] = defaults[axis];
    if (!Number.isInteger(s.snap) || s.snap < -1) s.snap = -1;
    if (!["shape", "loss", "represented", "packing"].includes(s.color)) s.color = "shape";
    if (s.mode !== "live") s.mode = "sweep";
    if (!["light", "dark"].includes(s.theme)) s.theme = "";
    Object.assign(s, sensible(s));
  }
  function lookAtSweep(s, dark) {
    map.show(dark, predict.covers(`cell ${s.cell}`));
    const key = `${s.cell} ${dark}`;
    if (framesKey !== key) {
      views = (sweep.snapshots?.steps ?? []).map((_, k) => viewOf(sweep, s.cell, colorOf, dark, k));
      track = trackOf(sweep, s.cell, views);
      framesKey = key;
    }
    const last = views.length - 1;
    const at = s.snap < 0 || last < 0 ? -1 : Math.min(s.snap, last);
    view = at < 0 ? viewOf(sweep, s.cell, colorOf, dark) : views[at];
    if (at >= 0 && at < last && view.m === 2) {
      const then = planeShape(view.W, view.n);
      view = { ...view, ...then, color: colorOf(then.name, dark), loss: Number.NaN };
    } else if (at >= 0 && at < last) {
      view = { ...view, name: `${view.represented} features, on the way`, residual: Number.NaN, loss: Number.NaN };
    }
    const near = siblings(sweep, s.cell);
    miniTitle.textContent = "Seeds";
    showMinis(near.slice(0, MAX_MINIATURES).map((c) => ({ view: viewOf(sweep, c, colorOf, dark), chosen: c === s.cell, pick: () => state.set({ cell: c, snap: -1 }) })), s, dark);
  }
  function lookAtLive(s, dark) {
    const { frames } = live;
    live.show();
    framesKey = "";
    const settings = sensible(s);
    const last = frames.models.length - 1;
    if (last < 0) return;
    const k = s.pick >= 0 && s.pick < frames.models[last].length ? s.pick : live.best();
    const at = s.snap < 0 ? last : Math.min(s.snap, last);
    track = { steps: frames.steps, lossSteps: frames.steps, loss: frames.models.map((models) => models[k].loss), D: frames.models.map((models) => models[k].D ?? (models[k].D = measure(models[k].W, settings.m, settings.n).D)) };
    view = liveView(frames.models[at][k], settings, colorOf, dark);
    miniTitle.textContent = "Starts, side by side (the best is shown)";
    showMinis(frames.models[at].map((model, j) => ({ view: liveView(model, settings, colorOf, dark), chosen: j === k, pick: () => state.set({ pick: j }) })), s, dark);
  }
  function showMinis(list, s, dark) {
    miniCard.hidden = list.length < 2;
    const focused = [...minis.children].indexOf(document.activeElement);
    minis.replaceChildren(...list.map((one) => el("button", { type: "button", class: "mini-button", "aria-pressed": String(one.chosen), "aria-label": `${short(one.view.name)}, loss ${say(one.view.loss)}`, onclick: one.pick },
      miniature(one.view, [s.yaw, s.pitch], dark), el("span", {}, short(one.view.name, 24)), el("small", {}, `loss ${say(one.view.loss, 2)}`))));
    if (focused >= 0) minis.children[focused]?.focus();
  }
  function render() {
    const s = state.get();
    sanitize(s);
    const dark = isDark(root);
    map.node.hidden = s.mode !== "sweep";
    live.node.hidden = s.mode !== "live";
    for (const button of tabs.children) button.setAttribute("aria-selected", String(button.dataset.mode === s.mode));
    if (s.mode === "live" && live.frames.run === 0) live.restart();
    if (s.mode === "live") lookAtLive(s, dark);
    else lookAtSweep(s, dark);
    if (!view) return;
    const key = s.mode === "live" ? `live ${live.frames.run}` : `cell ${s.cell}`;
    const secret = predict.covers(key);
    predict.show(view, key);
    name.textContent = secret ? "?" : short(view.name, 80);
    const residual = Number.isFinite(view.residual) ? `residual ${say(view.residual, 2)} · ` : "";
    facts.textContent = secret ? "" : `${residual}${view.represented} of ${view.n} represented · ΣD/m ${say(view.packing, 2)}${Number.isFinite(view.loss) ? ` · loss ${say(view.loss)}` : ""}`;
    root.dataset.shows = s.mode === "live" ? (live.frames.models.length ? "live" : "nothing yet") : "sweep";
    root.classList.toggle("secret", secret);
    if (secret) view = { ...view, said: `${view.n} features in ${view.m} dimensions` };
    picture.show(view, [s.yaw, s.pitch], dark);
    bars.show(view, dark);
    if (s.mode === "sweep") announcer.textContent = secret ? "" : describe(sweep, s.cell);
    light();
  }
  state.listen((s, names) => {
    if (s.mode === "live" && names.has("mode") && live.frames.run === 0) live.restart();
    render();
  });
  globalThis.addEventListener("resize", render);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  render();
  root.dataset.ready = String(Math.round(performance.now()));
}
