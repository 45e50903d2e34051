// The page of a sweep: story, map, geometry, input player, time and live training, over one state.

import { el, say, short } from "./dom.js";
import { createState } from "./state.js";
import { isDark, shapeColors } from "./color.js";
import { measure } from "./measure.js";
import { alignTo, createAligner, placesOf } from "./align.js";
import { COLORINGS, createMap, describe, startingAxes } from "./map.js";
import { createPicture, miniature } from "./picture.js";
import { createBars, createHeat } from "./panels.js";
import { createFacts, createMeanings, term } from "./meaning.js";
import { createPageFrame } from "./page_frame.js";
import { createLandscape } from "./landscape_view.js";
import { LIVE, createLive, liveSizes, sensible } from "./live_training.js";
import { createPlayer } from "./player.js";
import { createPredict } from "./predict.js";
import { cellOfWhy, createStory, densityPath } from "./story.js";
import { bestCell, named, readSweep, siblings, trackOf, viewOf } from "./sweep.js";
import { createTime } from "./time.js";

const MAX_MINIATURES = 16;
const MODES = { sweep: "The sweep", live: "Train here" };
/** Which cards a step of the story shows beside its own. */
const STORY_CARDS = { 1: ["geometry"], 2: ["geometry"], 3: ["input"], 4: ["from", "geometry"] };

/**
 * Fill `root` with the explorer. `link` is false where there is no address to keep the state in; `theme` is what it
 * begins with.
 */
export function start(root, text, { link = true, theme = "" } = {}) {
  const sweep = readSweep(JSON.parse(text));
  const colorOf = shapeColors(sweep.colors);
  const [x, y] = startingAxes(sweep);
  const defaults = {
    story: -1,
    mode: "sweep",
    cell: bestCell(sweep),
    x,
    y,
    color: "shape",
    snap: -1,
    pick: -1,
    on: "",
    yaw: 0.6,
    pitch: 0.35,
    theme,
    ask: false,
  };
  const state = createState({ ...defaults, ...LIVE, ...liveSizes(sweep, defaults.cell) }, { link });
  let [hovered, view, track, views, shownKey] = [-1, null, null, [], ""];

  const onhover = (feature) => {
    if (feature === hovered) return;
    hovered = feature;
    light();
  };
  const onturn = (yaw, pitch) => state.set({ yaw, pitch });
  const map = createMap(sweep, { state, colorOf, onpick: (cell) => state.set({ cell, snap: -1 }) });
  const live = createLive({ state, onframe: () => state.get().mode === "live" && render() });
  const picture = createPicture({ onhover, onturn });
  const player = createPlayer({ onchange: (on) => state.set({ on }), onhover, onturn });
  const heat = createHeat({ onhover });
  const bars = createBars({ onhover });
  const atEnd = (snap) => snap >= track.steps.length - 1 && state.get().mode === "live";
  const time = createTime({ onscrub: (snap) => state.set({ snap: atEnd(snap) ? -1 : snap }) });
  const landscape = createLandscape(sweep.landscape);
  const predict = createPredict({ state, onanswer: () => render() });
  const facts = createFacts();
  const placeOf = createAligner(sweep.model.turns ? sweep.model.equal : null);
  const story = createStory({
    sweep,
    state,
    colorOf,
    siblings: (cell) => siblings(sweep, cell),
    onstep: tell,
    onleave: () => {
      state.set({ story: 0, mode: "sweep", snap: -1 });
      requestAnimationFrame(() => storyButton.focus({ preventScroll: true }));
    },
  });
  const storyButton = el(
    "button",
    { type: "button", hidden: !story.steps.length, onclick: () => story.open(story.steps[0]) },
    "Story",
  );
  const pageFrame = createPageFrame(root, {
    title: sweep.title,
    caption: sweep.caption,
    state,
    link,
    buttons: [storyButton],
  });

  const name = el("h2", { class: "shape-name" });
  const announcer = el("p", { class: "unseen", role: "status" });
  const minis = el("div", { class: "minis" });
  const miniTitle = el("h2", { class: "small" });
  const starts = el("div", { class: "starts" }, miniTitle, minis);
  const tabs = el(
    "div",
    { class: "tabs", role: "tablist", "aria-label": "what to look at" },
    ...Object.entries(MODES).map(([mode, words]) =>
      el("button", { type: "button", role: "tab", "data-mode": mode, onclick: () => look(mode) }, words),
    ),
  );
  tabs.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    look(state.get().mode === "live" ? "sweep" : "live");
    requestAnimationFrame(() => tabs.querySelector("[aria-selected=true]").focus());
  });
  const cards = {
    from: el("section", { class: "card from", "aria-label": "models to choose from" }, tabs, map.node, live.node),
    geometry: el(
      "section",
      { class: "card geometry", "aria-label": "geometry" },
      el("div", { class: "naming" }, el("div", {}, name, facts.node, predict.verdict), predict.toggle),
      el("div", { class: "stage" }, picture.node, predict.cover),
      announcer,
    ),
    numbers: el(
      "section",
      { class: "card numbers", "aria-label": "numbers" },
      el("div", {}, el("h2", { class: "small" }, term("WᵀW")), heat.node),
      el("div", {}, el("h2", { class: "small" }, "Features"), bars.node),
      createMeanings(),
    ),
    time: el(
      "section",
      { class: "card time", "aria-label": "training in time" },
      el("h2", { class: "small" }, "Training"),
      time.node,
    ),
    input: el(
      "section",
      { class: "card input", "aria-label": "input player" },
      el("h2", { class: "small" }, "Input player: what goes in, what comes back"),
      player.node,
    ),
    seeds: el("section", { class: "card seeds", "aria-label": "other starts" }, starts),
    landscape: el(
      "section",
      { class: "card landscape", "aria-label": "minima of this density" },
      el("h2", { class: "small" }, "Landscape: the minima of the expected loss at this density"),
      landscape.node,
    ),
  };
  pageFrame.main.append(...Object.values(cards));

  function look(mode) {
    time.pause();
    state.set({ mode, snap: -1, pick: -1 });
  }
  /** A step of the story, at the model that it begins with. */
  function tell(step) {
    time.pause();
    const { cell } = state.get();
    const at = step === 1 ? densest(cell) : step === 3 ? cellOfWhy(sweep, cell) : cell;
    state.set({ story: step, mode: step === 4 ? "live" : "sweep", cell: at, snap: -1, pick: -1, on: "" });
  }
  function light() {
    for (const node of root.querySelectorAll("[data-feature]"))
      node.classList.toggle("lit", Number(node.dataset.feature) === hovered);
    pageFrame.main.classList.toggle("lighting", hovered >= 0);
    if (!view) return;
    const dark = isDark(root);
    if (!cards.numbers.hidden) heat.show(view, hovered, dark);
    if (!cards.time.hidden) time.show(track, shownSnapshot(), hovered, dark);
  }
  function shownSnapshot() {
    const { snap } = state.get();
    const last = track.steps.length - 1;
    return snap < 0 ? Math.max(0, last) : Math.min(snap, last);
  }
  /** Repair what a link may say wrongly. */
  function sanitize(s) {
    if (!(Number.isInteger(s.cell) && s.cell >= 0 && s.cell < sweep.nCells)) s.cell = defaults.cell;
    if (s.story < 0 && link && location.hash.length < 2 && sweep.nCells > 1 && story.steps.length) tellFirst(s);
    if (s.story !== 0 && !story.steps.includes(s.story)) s.story = 0;
    for (const axis of ["x", "y"]) if (!sweep.axes[s[axis]]) s[axis] = defaults[axis];
    if (!Number.isInteger(s.snap) || s.snap < -1) s.snap = -1;
    if (!Object.hasOwn(COLORINGS, s.color)) s.color = "shape";
    if (s.story) s.mode = s.story === 4 ? "live" : "sweep";
    if (s.story === 1) s.cell = densest(s.cell);
    if (s.mode !== "live") s.mode = "sweep";
    if (!["light", "dark"].includes(s.theme)) s.theme = "";
    Object.assign(s, sensible(s));
  }
  /** The cell itself if it is of the largest density, else the best one that is. */
  function densest(cell) {
    const index = sweep.index[sweep.density];
    const [first] = densityPath(sweep, cell);
    return index[first] === index[cell] ? cell : first;
  }
  /** A page that is opened without a link begins with the story. */
  function tellFirst(s) {
    s.story = story.steps[0];
    s.cell = s.story === 1 ? densest(s.cell) : cellOfWhy(sweep, s.cell);
  }
  const plain = (one) => ({ ...placesOf(one.W, one.m, one.n), slot: Int32Array.from({ length: one.n }, (_, i) => i) });
  const inPlace = (one, key) => ({ ...one, shown: placeOf(one, key) });
  /** A model of another seed, turned like the one that is shown where that is quickly done. */
  function beside(one, shown) {
    const { d, at, slot } = plain(one);
    if (!sweep.model.turns || d > 2 || shown.slot.length !== one.n || shown.d !== d)
      return { ...one, shown: { d, at, slot } };
    const { at: turned, match } = alignTo(shown.at, at, d, one.n, sweep.model.equal);
    return { ...one, shown: { d, at: turned, slot: slot.map((i) => shown.slot[match[i]]) } };
  }
  function lookAtSweep(s, dark) {
    map.show(dark, predict.covers(`cell ${s.cell}`));
    const key = `${s.cell} ${dark}`;
    const final = inPlace(viewOf(sweep, s.cell, colorOf, dark), `cell ${s.cell}`);
    if (shownKey !== key) {
      const steps = sweep.snapshots?.steps ?? [];
      views = steps.map((_, k) => inPlace(viewOf(sweep, s.cell, colorOf, dark, k), `cell ${s.cell}`));
      track = { ...trackOf(sweep, s.cell, views), slot: final.shown.slot };
      shownKey = key;
      landscape.show(final, s.cell, beside, [s.yaw, s.pitch], dark);
      const near = siblings(sweep, s.cell).slice(0, MAX_MINIATURES);
      miniTitle.textContent = "Seeds";
      showMinis(
        near.map((c) => ({
          view: c === s.cell ? final : beside(viewOf(sweep, c, colorOf, dark), final.shown),
          chosen: c === s.cell,
          pick: () => state.set({ cell: c, snap: -1 }),
        })),
        s,
        dark,
      );
    }
    const last = views.length - 1;
    const at = s.snap < 0 || last < 0 ? -1 : Math.min(s.snap, last);
    view =
      at < 0 || at === last
        ? final
        : {
            ...named(views[at], sweep, colorOf, dark, `${views[at].represented} features, on the way`),
            loss: Number.NaN,
          };
  }
  function liveView(model, { m, n, p }, dark) {
    const one = {
      m,
      n,
      W: model.W,
      b: model.b,
      ...measure(model.W, m, n),
      loss: model.loss,
      density: p,
      activation: "relu",
    };
    return { ...named(one, sweep, colorOf, dark), shown: plain(one) };
  }
  function lookAtLive(s, dark) {
    const { frames } = live;
    live.show();
    shownKey = "";
    const settings = sensible(s);
    const last = frames.models.length - 1;
    if (last < 0) return;
    const k = s.pick >= 0 && s.pick < frames.models[last].length ? s.pick : live.best();
    const at = s.snap < 0 ? last : Math.min(s.snap, last);
    const D = (model) => (model.D ??= measure(model.W, settings.m, settings.n).D);
    track = {
      steps: frames.steps,
      lossSteps: frames.steps,
      loss: frames.models.map((models) => models[k].loss),
      D: frames.models.map((models) => D(models[k])),
    };
    view = liveView(frames.models[at][k], settings, dark);
    miniTitle.textContent = "Starts, side by side (the best is shown)";
    showMinis(
      frames.models[at].map((model, j) => ({
        view: liveView(model, settings, dark),
        chosen: j === k,
        pick: () => state.set({ pick: j }),
      })),
      s,
      dark,
    );
  }
  function showMinis(list, s, dark) {
    cards.seeds.dataset.count = list.length;
    const focused = [...minis.children].indexOf(document.activeElement);
    minis.replaceChildren(
      ...list.map((one, k) =>
        el(
          "button",
          {
            type: "button",
            class: "mini-button",
            "aria-pressed": String(one.chosen),
            "aria-label": `start ${k + 1}: ${short(one.view.name)}, loss ${say(one.view.loss)}`,
            onclick: one.pick,
          },
          miniature(one.view, [s.yaw, s.pitch], dark),
          el("span", {}, short(one.view.name, 24)),
          el("small", {}, `loss ${say(one.view.loss, 2)}`),
        ),
      ),
    );
    if (focused >= 0) minis.children[focused]?.focus();
  }
  function showCards(s) {
    const visible = STORY_CARDS[s.story];
    for (const [key, card] of Object.entries(cards)) card.hidden = visible ? !visible.includes(key) : false;
    // Those that train here stand under the controls that train them, in the story under the picture.
    const place = s.mode !== "live" ? cards.seeds : s.story ? cards.geometry : cards.from;
    if (starts.parentElement !== place) place.append(starts);
    cards.seeds.hidden ||= s.mode === "live" || Number(cards.seeds.dataset.count) < 2;
    cards.landscape.hidden ||= s.mode === "live" || !sweep.landscape;
    if (!s.story) story.node.remove();
    else if (!story.node.isConnected) pageFrame.main.prepend(story.node);
    pageFrame.main.classList.toggle("telling", s.story > 0);
    pageFrame.main.dataset.step = s.story;
    tabs.hidden = s.story > 0;
    storyButton.hidden = s.story > 0 || !story.steps.length;
    map.node.hidden = s.mode !== "sweep";
    live.node.hidden = s.mode !== "live";
    for (const button of tabs.children) {
      const chosen = button.dataset.mode === s.mode;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
  }
  function render() {
    const s = state.get();
    sanitize(s);
    const dark = isDark(root);
    showCards(s);
    if (s.mode === "live" && live.frames.run === 0) live.restart();
    if (s.mode === "live") lookAtLive(s, dark);
    else lookAtSweep(s, dark);
    if (!view) return;
    showCards(s); // the number of other starts is known now
    const key = s.mode === "live" ? `live ${live.frames.run}` : `cell ${s.cell}`;
    const secret = predict.covers(key);
    predict.show(view, key);
    name.textContent = secret ? "?" : short(view.name, 80);
    facts.show(secret ? null : view);
    root.dataset.shows = s.mode === "live" ? (live.frames.models.length ? "live" : "nothing yet") : "sweep";
    root.classList.toggle("secret", secret);
    if (secret) view = { ...view, said: `${view.n} features in ${view.m} dimensions` };
    const turn = [s.yaw, s.pitch];
    picture.show(view, turn, dark, s.mode === "live" ? "live" : `cell ${s.cell}`);
    bars.show(view, dark);
    player.show(view, s.on, turn, dark);
    if (s.mode === "sweep") announcer.textContent = secret ? "" : describe(sweep, s.cell);
    if (s.story) {
      const training = live.frames.steps.length
        ? `Step ${live.frames.steps.at(-1).toLocaleString("en")} of 3,000: `
        : "";
      story.show(view, dark, { played: player.sentence(), training });
    }
    light();
  }
  state.listen(render);
  globalThis.addEventListener("resize", render);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  render();
  root.dataset.ready = String(Math.round(performance.now()));
}
