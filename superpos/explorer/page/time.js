// Training in time: the loss, every D_i, and a scrubber over the snapshots.

import { el, fit, say } from "./dom.js";
import { featureColor } from "./color.js";
import { createScrubber } from "./scrubber.js";

const LEVELS = [
  [1, "1"],
  [0.5, "1/2"],
  [0.4, "2/5"],
];

/** The panel. `onscrub(index)` with −1 for the trained model. */
export function createTime({ onscrub }) {
  const loss = el("canvas", { class: "curve", role: "img", "aria-label": "loss against step" });
  const dims = el("canvas", {
    class: "curve",
    role: "img",
    "aria-label": "dimensionality of every feature against step",
  });
  const scrubber = createScrubber({ onscrub });
  const lack = el("p", { class: "note" });
  const shares = el("figure", {}, el("figcaption", {}, "share of a dimension, Dᵢ"), dims);
  const node = el(
    "div",
    {},
    el("div", { class: "curves" }, el("figure", {}, el("figcaption", {}, "loss"), loss), shares),
    scrubber.node,
    lack,
  );
  function axes(canvas, dark) {
    const [width, height] = [canvas.clientWidth || 300, canvas.clientHeight || 120];
    const context = fit(canvas, width, height);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = dark ? "#a3abb7" : "#5c6470";
    return { context, width, height, left: 44, bottom: height - 16 };
  }
  function line(context, points, color, wide) {
    context.beginPath();
    let pen = false;
    for (const [x, y] of points) {
      if (Number.isFinite(y)) context[pen ? "lineTo" : "moveTo"](x, y);
      pen = Number.isFinite(y);
    }
    context.strokeStyle = color;
    context.lineWidth = wide;
    context.stroke();
  }

  /** `track`: { lossSteps, loss, steps, D: one array per snapshot }, `at`: the snapshot shown. */
  function show(track, at, hovered, dark) {
    const count = track.steps.length;
    scrubber.show(track.steps, at);
    shares.hidden = count < 1;
    lack.hidden = !track.lack;
    lack.textContent = track.lack ?? "";
    const last = Math.max(1, track.steps.at(-1) ?? 0, track.lossSteps.at(-1) ?? 0);
    const middle = track.steps[Math.floor(count / 2)] ?? last;
    const log = count > 3 && middle < 0.2 * last;
    const across = (box, step) => {
      const t = log ? Math.log1p(step) / Math.log1p(last) : step / last;
      return box.left + t * (box.width - box.left - 8);
    };
    const frame = (box) => {
      const { context, bottom } = box;
      context.textAlign = "left";
      context.fillText(log ? "0 (log scale)" : "0", box.left, box.height - 3);
      context.textAlign = "right";
      context.fillText(`step ${last.toLocaleString("en")}`, box.width - 8, box.height - 3);
      line(
        context,
        [
          [box.left, bottom],
          [box.width - 8, bottom],
        ],
        dark ? "#2e343d" : "#e3e1dc",
        1,
      );
      if (count > 1)
        line(
          context,
          [
            [across(box, track.steps[at]), 4],
            [across(box, track.steps[at]), bottom],
          ],
          dark ? "#eceef1" : "#1b1f27",
          1,
        );
    };

    const first = axes(loss, dark);
    const finite = track.loss.filter((v) => v > 0);
    const [lo, hi] = [Math.log(Math.min(...finite)), Math.log(Math.max(...finite))];
    frame(first);
    if (finite.length) {
      const up = (v) => first.bottom - 6 - ((Math.log(v) - lo) / (hi - lo || 1)) * (first.bottom - 16);
      first.context.fillText(say(Math.exp(hi), 2), first.left - 6, 14);
      first.context.fillText(say(Math.exp(lo), 2), first.left - 6, first.bottom - 3);
      line(
        first.context,
        Array.from(track.loss, (v, i) => [across(first, track.lossSteps[i]), up(v)]),
        dark ? "#7cc0f5" : "#0b5fa5",
        1.6,
      );
    }

    const second = axes(dims, dark);
    const rise = (v) => second.bottom - Math.min(v, 1.02) * (second.bottom - 10);
    for (const [level, text] of LEVELS) {
      second.context.textAlign = "right";
      second.context.fillText(text, second.left - 6, rise(level) + (level === 0.5 ? 0 : level === 0.4 ? 8 : 4));
      line(
        second.context,
        [
          [second.left, rise(level)],
          [second.width - 8, rise(level)],
        ],
        dark ? "#2e343d" : "#e3e1dc",
        1,
      );
    }
    frame(second);
    const n = track.D[0]?.length ?? 0;
    for (let i = 0; i < n; i++) {
      second.context.globalAlpha = hovered < 0 || hovered === i ? 1 : 0.2;
      line(
        second.context,
        track.D.map((D, s) => [across(second, track.steps[s]), rise(D[i])]),
        featureColor(track.slot?.[i] ?? i, n, dark),
        hovered === i ? 3 : 1.6,
      );
    }
    second.context.globalAlpha = 1;
  }
  return { node, show, pause: scrubber.pause, playing: scrubber.playing };
}
