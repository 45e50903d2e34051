// Train here: sliders, and models that train while one looks.

import { el, labelled, say, select } from "./dom.js";
import { Ensemble } from "./ensemble.js";
import { WORKER_SOURCE } from "./worker_source.js";

const COUNT = 6; // starts side by side
const MAX_POINTS = 400; // as many frames are kept

/** The settings of live training that the link holds. */
export const LIVE = { p: 0.05, decay: 1, n: 5, m: 2, lr: 0.01, seed: 1, pace: "full" };

const between = (least, most) => (value) => Math.min(most, Math.max(least, value));

/** Settings inside what the sliders allow, whatever a link says. */
export function sensible(s) {
  return {
    p: between(0.005, 1)(s.p),
    decay: between(0.3, 1)(s.decay),
    lr: between(0.001, 0.1)(s.lr),
    n: between(2, 12)(Math.round(s.n)),
    m: between(2, 3)(Math.round(s.m)),
  };
}

/** Features and dimensions of a sweep's cell, where models of that size can be trained here. */
export function liveSizes({ cells }, cell) {
  const sizes = { n: cells.n.values[cell], m: cells.m.values[cell] };
  const trainable = sensible({ ...LIVE, ...sizes });
  return trainable.n === sizes.n && trainable.m === sizes.m ? sizes : {};
}

function connect(post) {
  try {
    const address = URL.createObjectURL(new Blob([WORKER_SOURCE], { type: "text/javascript" }));
    const worker = new Worker(address);
    worker.addEventListener("message", (event) => post(event.data));
    return (message) => worker.postMessage(message);
  } catch {
    const ensemble = new Ensemble(post);
    return (message) => ensemble.onMessage(message);
  }
}

/** The controls, and the frames: every slice of training that arrived. */
export function createLive({ state, onframe }) {
  const frames = { run: 0, steps: [], models: [], done: true, paused: false, rate: 0 };
  let send = null;
  const status = el("p", { class: "note", role: "status" });

  function onMessage(news) {
    if (news.run !== frames.run) return;
    frames.steps.push(news.step);
    frames.models.push(news.models);
    if (frames.steps.length > MAX_POINTS) {
      const keep = (_, i) => i % 2 === 0 || i === frames.steps.length - 1;
      [frames.steps, frames.models] = [frames.steps.filter(keep), frames.models.filter(keep)];
    }
    [frames.done, frames.paused] = [news.done, news.paused];
    if (news.steps && news.seconds > 0) frames.rate = news.steps / news.seconds;
    status.setAttribute("aria-live", frames.done || frames.paused ? "polite" : "off");
    const doing = frames.done ? "Trained" : frames.paused ? "Paused" : "Training";
    const rate = frames.rate && !frames.paused ? `, ${say(frames.rate, 2)} steps a second` : "";
    status.textContent = `${doing}: step ${news.step.toLocaleString("en")} of ${COUNT} models${rate}`;
    showTransport();
    onframe();
  }
  const restart = (paused = false) => {
    send ??= connect(onMessage);
    Object.assign(frames, { run: frames.run + 1, steps: [], models: [], done: false, paused });
    send({
      start: sensible(state.get()),
      run: frames.run,
      seed: state.get().seed,
      count: COUNT,
      paused,
      pace: state.get().pace,
    });
  };

  const rows = [
    ["p", "density p", 0, 1, 0.01, (v) => 0.005 ** (1 - v), (p) => 1 - Math.log(p) / Math.log(0.005)],
    ["decay", "importance decay", 0.3, 1, 0.01, (v) => v, (v) => v],
    ["n", "features n", 2, 12, 1, (v) => v, (v) => v],
    ["m", "dimensions m", 2, 3, 1, (v) => v, (v) => v],
    ["lr", "learning rate", -3, -1, 0.05, (v) => 10 ** v, Math.log10],
  ].map(([name, label, min, max, step, toValue, toSlider]) => {
    const output = el("output", {});
    const input = el("input", {
      type: "range",
      min,
      max,
      step,
      "aria-label": label,
      "data-setting": name,
      oninput: () => {
        const value = Number(toValue(Number(input.value)).toPrecision(3));
        state.set({ [name]: value, snap: -1 });
        show();
        if (name === "n" || name === "m" || !frames.steps.length) restart(frames.paused);
        else send({ change: sensible(state.get()) });
      },
    });
    const update = () => {
      const value = sensible(state.get())[name];
      input.value = toSlider(value);
      output.textContent = say(value, 2);
      input.setAttribute("aria-valuetext", say(value, 2));
    };
    return { node: el("label", { class: "slider" }, el("span", {}, label), input, output), update };
  });
  const again = () => {
    state.set({ seed: state.get().seed + 1, snap: -1, pick: -1 });
    restart();
  };
  const fresh = el("button", { type: "button", class: "main", onclick: again }, "Train from new starts");
  const pause = el(
    "button",
    {
      type: "button",
      onclick: () => {
        state.set({ snap: -1 });
        send?.({ pause: !frames.paused });
      },
    },
    "Pause",
  );
  const step = el(
    "button",
    {
      type: "button",
      onclick: () => {
        state.set({ snap: -1 });
        if (!frames.run || frames.done) restart(true);
        send({ step: 1 });
      },
    },
    "One step",
  );
  const paces = [
    ["full", "full speed"],
    ["slow", "slow motion"],
    ["slowest", "step by step"],
  ];
  const pace = select(
    paces,
    state.get().pace,
    (name) => {
      state.set({ pace: name });
      send?.({ pace: name });
    },
    "pace of training",
  );
  const transport = el(
    "div",
    { class: "controls transport", role: "group", "aria-label": "training" },
    fresh,
    pause,
    step,
    labelled("pace", pace),
  );
  function showTransport() {
    pause.textContent = frames.paused ? "Go on" : "Pause";
    pause.disabled = frames.done;
  }
  function show() {
    for (const row of rows) row.update();
    pace.value = state.get().pace;
    showTransport();
  }
  const node = el(
    "div",
    {},
    transport,
    status,
    el("div", { class: "sliders" }, ...rows.map((row) => row.node)),
    el(
      "p",
      { class: "note" },
      "Change density, importance or rate while it trains: the same models go on under the new setting.",
    ),
  );
  show();
  return {
    node,
    frames,
    restart,
    show,
    best: () => {
      const models = frames.models.at(-1) ?? [];
      return models.reduce((best, model, k) => (model.loss < models[best].loss ? k : best), 0);
    },
  };
}
