// Train here: sliders, and models that train while one looks.

import { el, say } from "./dom.js";
import { Crew } from "./crew.js";
import { WORKER_SOURCE } from "./worker_source.js";

const COUNT = 6; // starts side by side
const MAX_POINTS = 400; // of the film that is kept

/** The settings of live training that the link holds. */
export const LIVE = { p: 0.05, decay: 1, n: 5, m: 2, lr: 0.01, seed: 1 };

const between = (least, most) => (value) => Math.min(most, Math.max(least, value));

/** Settings inside what the sliders allow, whatever a link says. */
export function sensible(s) {
  return {
    p: between(0.005, 1)(s.p), decay: between(0.3, 1)(s.decay), lr: between(0.001, 0.1)(s.lr),
    n: between(2, 12)(Math.round(s.n)), m: between(2, 3)(Math.round(s.m)),
  };
}

function connect(tell) {
  try {
    const address = URL.createObjectURL(new Blob([WORKER_SOURCE], { type: "text/javascript" }));
    const worker = new Worker(address);
    worker.addEventListener("message", (event) => tell(event.data));
    return (message) => worker.postMessage(message);
  } catch {
    const crew = new Crew(tell);
    return (message) => crew.hear(message);
  }
}

/** The controls, and the film: every slice of training that arrived. */
export function createLive({ state, onframe }) {
  const film = { run: 0, steps: [], models: [], done: true, rate: 0 };
  let send = null;
  const status = el("p", { class: "note", role: "status" });

  function hear(news) {
    if (news.run !== film.run) return;
    film.steps.push(news.step);
    film.models.push(news.models);
    if (film.steps.length > MAX_POINTS) {
      const keep = (_, i) => i % 2 === 0 || i === film.steps.length - 1;
      [film.steps, film.models] = [film.steps.filter(keep), film.models.filter(keep)];
    }
    film.done = news.done;
    if (news.steps) film.rate = news.steps / news.seconds;
    status.textContent = `${film.done ? "Trained" : "Training"}: step ${news.step.toLocaleString("en")} of ${COUNT} models${film.rate ? `, ${say(film.rate, 2)} steps a second` : ""}`;
    onframe();
  }
  const restart = () => {
    send ??= connect(hear);
    Object.assign(film, { run: film.run + 1, steps: [], models: [], done: false });
    send({ start: sensible(state.get()), run: film.run, seed: state.get().seed, count: COUNT });
  };

  const rows = [
    ["p", "density p", 0, 1, 0.01, (v) => 0.005 ** (1 - v), (p) => 1 - Math.log(p) / Math.log(0.005)],
    ["decay", "importance decay", 0.3, 1, 0.01, (v) => v, (v) => v],
    ["n", "features n", 2, 12, 1, (v) => v, (v) => v],
    ["m", "dimensions m", 2, 3, 1, (v) => v, (v) => v],
    ["lr", "learning rate", -3, -1, 0.05, (v) => 10 ** v, Math.log10],
  ].map(([name, label, min, max, step, toValue, toSlider]) => {
    const said = el("output", {});
    const input = el("input", { type: "range", min, max, step, "aria-label": label, "data-setting": name, oninput: () => {
      const value = Number(toValue(Number(input.value)).toPrecision(3));
      state.set({ [name]: value, snap: -1 });
      show();
      if (name === "n" || name === "m" || !film.steps.length) restart();
      else send({ change: sensible(state.get()) });
    } });
    const update = () => {
      const value = sensible(state.get())[name];
      input.value = toSlider(value);
      said.textContent = say(value, 2);
      input.setAttribute("aria-valuetext", say(value, 2));
    };
    return { node: el("label", { class: "slider" }, el("span", {}, label), input, said), update };
  });
  const show = () => { for (const row of rows) row.update(); };
  const fresh = el("button", { type: "button", class: "main", onclick: () => {
    state.set({ seed: state.get().seed + 1, snap: -1, pick: -1 });
    restart();
  } }, "Train from new starts");
  const node = el("div", {}, el("div", { class: "sliders" }, ...rows.map((row) => row.node)), el("div", { class: "controls" }, fresh), status,
    el("p", { class: "note" }, "Change density, importance or rate while it trains: the same models go on under the new setting."));
  show();
  return { node, film, restart, show, best: () => {
    const models = film.models.at(-1) ?? [];
    return models.reduce((best, model, k) => (model.loss < models[best].loss ? k : best), 0);
  } };
}
