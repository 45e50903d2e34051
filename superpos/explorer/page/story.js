// The story: dense, sparser, why, your turn. Each step asks one question over one large picture, in the sweep's own
// models.

import { denseAside, whyAside } from "./asides.js";
import { el, motionAllowed, say, svg } from "./dom.js";
import { canReconstruct } from "./reconstruct.js";
import { atDensity, inWords, shareInWords } from "./sentences.js";
import { activationOf } from "./sweep.js";

export const STEPS = ["dense", "sparser", "why", "your turn"];
const PACE = 90; // milliseconds from one density to the next

/** The best model of every density, from dense to sparse; other axes are those of `cell`. */
export function densityPath(sweep, cell) {
  if (sweep.density < 0) return [];
  const loss = (c) =>
    Number.isFinite(sweep.cells.loss.values[c]) ? sweep.cells.loss.values[c] : Number.POSITIVE_INFINITY;
  const index = sweep.index[sweep.density];
  const fixed = sweep.axes.map((axis, a) => !sweep.flat && a !== sweep.density && axis.name !== "seed");
  const best = new Map();
  for (let c = 0; c < sweep.nCells; c++) {
    if (!sweep.index.every((of, a) => !fixed[a] || of[c] === of[cell])) continue;
    if (!best.has(index[c]) || loss(c) < loss(best.get(index[c]))) best.set(index[c], c);
  }
  const density = (c) => sweep.axes[sweep.density].values[index[c]];
  return [...best.values()].sort((a, b) => density(b) - density(a));
}

/**
 * The steps that a sweep can tell: without densities it begins with why; other models than x′ = f(WᵀWx + b) have
 * none.
 */
export function stepsOf(sweep) {
  if (!canReconstruct(activationOf(sweep, 0))) return [];
  return sweep.density >= 0 && sweep.axes[sweep.density].values.length > 1 ? [1, 2, 3, 4] : [3, 4];
}

/** The story's card. `siblings(cell)`: the same setting from other starts; `onleave()` when it ends. */
export function createStory({ sweep, state, colorOf, siblings, onstep, onleave }) {
  const steps = stepsOf(sweep);
  const question = el("h2", { class: "big-question", tabindex: "-1" });
  const sentence = el("p", { class: "story-sentence", role: "status" });
  const aside = el("p", { class: "note" });
  /** Once the step is drawn. */
  const focus = () => requestAnimationFrame(() => requestAnimationFrame(() => question.focus({ preventScroll: true })));
  const go = (step) => {
    stop();
    onstep(step);
    focus();
  };
  const places = STEPS.map((word, k) =>
    el(
      "li",
      {},
      el(
        "button",
        { type: "button", class: "step", disabled: !steps.includes(k + 1), onclick: () => go(k + 1) },
        `${k + 1} ${word}`,
      ),
    ),
  );
  const back = el("button", { type: "button", onclick: () => go(state.get().story - 1) }, "Back");
  const next = el(
    "button",
    { type: "button", class: "main", onclick: () => (state.get().story >= 4 ? leave() : go(state.get().story + 1)) },
    "Next",
  );
  const skip = el("button", { type: "button", onclick: () => leave() }, "Skip the story");
  const strip = svg("svg", { class: "strip", preserveAspectRatio: "none", "aria-hidden": "true" });
  const range = el("input", {
    type: "range",
    min: 0,
    step: 1,
    "aria-label": "density of the story",
    oninput: () => {
      stop();
      move(Number(range.value));
    },
  });
  const where = el("output", {});
  const rarer = el("button", { type: "button", onclick: () => (timer ? stop() : walk()) }, "Make them rarer");
  const another = el(
    "button",
    {
      type: "button",
      onclick: () => {
        const near = siblings(state.get().cell);
        state.set({ cell: near[(near.indexOf(state.get().cell) + 1) % near.length], snap: -1 });
      },
    },
    "Another start",
  );
  const along = el(
    "div",
    { class: "along" },
    strip,
    range,
    el("div", { class: "ends" }, el("span", {}, "dense"), where, el("span", {}, "sparse")),
    rarer,
  );
  const node = el(
    "section",
    {
      class: "card story",
      "aria-label": "the story",
      onkeydown: (event) => {
        if (event.key === "Escape") leave();
      },
    },
    el("ol", { class: "steps" }, ...places),
    question,
    sentence,
    along,
    another,
    aside,
    el("div", { class: "controls story-controls" }, back, next, skip),
  );
  let [timer, path, drawn] = [0, [], ""];

  const placeOnPath = () =>
    Math.max(
      0,
      path.findIndex((c) => sweep.index[sweep.density][c] === sweep.index[sweep.density][state.get().cell]),
    );
  const move = (k) => state.set({ cell: path[k], snap: -1 });
  function stop() {
    clearInterval(timer);
    timer = 0;
    rarer.textContent = "Make them rarer";
  }
  function walk() {
    if (!motionAllowed()) {
      move(path.length - 1);
      return;
    }
    rarer.textContent = "Stop";
    let k = placeOnPath() >= path.length - 1 ? -1 : placeOnPath();
    timer = setInterval(() => {
      k += 1;
      move(Math.min(k, path.length - 1));
      if (k >= path.length - 1) stop();
    }, PACE);
  }
  function leave() {
    stop();
    onleave();
  }
  function drawStrip(dark) {
    const key = `${path.join()} ${dark}`;
    if (key === drawn) return;
    drawn = key;
    strip.setAttribute("viewBox", `0 0 ${path.length} 1`);
    strip.replaceChildren(
      ...path.map((c, k) => svg("rect", { x: k, width: 1.02, height: 1, fill: colorOf(sweep.shape.at(c), dark) })),
    );
  }
  function questionOf(step, { n, m }) {
    const [things, room] = [`${inWords(n, true)} features`, m === 1 ? "one dimension" : `${inWords(m)} dimensions`];
    const densest = path.length ? sweep.axes[sweep.density].values[sweep.index[sweep.density][path[0]]] : 1;
    const often =
      densest >= 0.95 ? "all of them there all the time" : `each there ${say(100 * densest, 2)} % of the time`;
    return [
      `${things}, ${room}, ${often}: what does a network keep?`,
      "Now the features become rare. What does the network do with the same room?",
      "Why does sharing pay when features are rare?",
      "Your turn: which shape will your own networks find?",
    ][step - 1];
  }
  /** The sentence of a step. `played`: what the player says of its input; `training`: how far live training is. */
  function sentenceOf(step, view, { played, training }) {
    if (step === 4) return `${training}${shareInWords(view)}`;
    if (step === 3) return played;
    return `${atDensity(view.density)}${shareInWords(view)}`;
  }
  return {
    node,
    steps,
    open: go,
    show(view, dark, words) {
      const s = state.get();
      const step = s.story;
      path = step < 3 ? densityPath(sweep, s.cell) : path;
      if (!path.length) path = densityPath(sweep, s.cell);
      for (const [k, place] of places.entries()) {
        if (k + 1 === step) place.firstChild.setAttribute("aria-current", "step");
        else place.firstChild.removeAttribute("aria-current");
      }
      question.textContent = questionOf(step, view);
      sentence.textContent = sentenceOf(step, view, words);
      sentence.setAttribute("aria-live", step === 4 ? "off" : "polite"); // training would be read out without end
      along.hidden = step !== 2;
      another.hidden = step !== 1 || siblings(s.cell).length < 2;
      back.disabled = step === steps[0];
      next.textContent = step === 4 ? "Explore the whole sweep" : "Next";
      skip.hidden = step === 4;
      if (step === 2) {
        drawStrip(dark);
        range.max = path.length - 1;
        range.value = placeOnPath();
        where.textContent = `density ${say(view.density, 2)}`;
        range.setAttribute("aria-valuetext", where.textContent);
      }
      aside.textContent =
        step === 3
          ? whyAside(view)
          : step === 2
            ? "The picture is turned so that neighbours lie near each other; the numbers are the model's own."
            : denseAside(view, sweep, siblings(s.cell));
      if (step === steps[0] && step > 1)
        aside.textContent = `This sweep has a single density, so the story begins with why. ${aside.textContent}`;
    },
  };
}

/** Where the story's "why" looks: the sparsest model of a regular shape with the most features. */
export function cellOfWhy(sweep, cell) {
  const path = densityPath(sweep, cell);
  if (!path.length) return cell;
  const worth = (c) =>
    sweep.cells.represented.values[c] - (/irregular|shared|diverged|missing/.test(sweep.shape.at(c)) ? 0.5 : 0);
  return path.reduce((a, b) => (worth(b) >= worth(a) ? b : a));
}
