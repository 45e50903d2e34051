// A sweep of transformers from the page's data: loss and accuracy of all cells, and models in full.

import { say } from "./dom.js";
import { decode } from "./decode.js";
import { indexCells } from "./map.js";

/** The whole page. `read(one)` makes something to look at of what was packed of one model. */
export function readTransformers(data, { read, lossName }) {
  const axes = data.axes.map((axis) => ({ ...axis, index: decode(axis.index).values }));
  const [loss, accuracy] = [decode(data.loss), decode(data.accuracy)];
  const sound = decode(data.sound).values;
  const opened = new Map();
  const place = new Map(data.shown.map((one, k) => [one.cell, k]));
  const sweep = {
    axes,
    flat: data.flat,
    nCells: data.n_cells,
    cells: { loss, ...(accuracy && { accuracy }) },
    sound,
    shown: data.shown.map((one) => one.cell),
    has: (cell) => place.has(cell),
    /** A model in full, read when first asked for; null where the page has only its numbers. */
    open(cell) {
      if (!place.has(cell)) return null;
      if (!opened.has(cell)) opened.set(cell, read(data.shown[place.get(cell)]));
      return opened.get(cell);
    },
    shape: { at: (cell) => (sound[cell] ? `${lossName} ${say(loss.values[cell])}` : "diverged or missing") },
  };
  sweep.index = data.flat ? axes.map(({ index }) => index) : indexCells(sweep);
  return sweep;
}

/** The model of lowest loss among those that are here in full. */
export function bestInFull({ shown, cells }) {
  return shown.reduce((p, q) => (cells.loss.values[q] < cells.loss.values[p] ? q : p));
}

/** The one that stands for a setting of which only numbers are here: the same but for the seed. */
export function sameSetting(sweep, cell) {
  const along = sweep.axes.map(({ name }, a) => [name, sweep.index[a]]).filter(([name]) => name !== "seed");
  return sweep.shown.find((c) => along.every(([, index]) => index[c] === index[cell])) ?? bestInFull(sweep);
}

/** What the page does not hold, in words; empty where it holds everything. */
export function whatIsMissing({ shown, sound, nCells }) {
  const healthy = Array.from(sound).filter(Boolean).length;
  const broken = nCells - healthy;
  const parts = [];
  if (shown.length < healthy)
    parts.push(
      `${shown.length} of ${healthy.toLocaleString("en")} models are on this page in full: the best of every setting ` +
        `by loss, then the next best while there is room. Of the others it has loss and accuracy.`,
    );
  if (broken) parts.push(`${broken} diverged or ${broken === 1 ? "is" : "are"} missing.`);
  return parts.join(" ");
}
