// Curves through training: lines over one axis of steps, with phases behind them and the place that is shown.

import { el, fit, say, svg, textSize } from "./dom.js";

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const SPAN_OF_LEGEND = 26;

/** 10 to a whole power, as it is written. */
export function powerOfTen(exponent) {
  const digits = Array.from(String(Math.abs(exponent)), (d) => SUPERSCRIPTS[d]).join("");
  return exponent === 0 ? "1" : exponent === 1 ? "10" : `10${exponent < 0 ? "⁻" : ""}${digits}`;
}

/** Ticks [value, text] of an axis from `lo` to `hi`, at most about `most` of them. */
export function ticksOf(lo, hi, log, most) {
  const ticks = [];
  if (log) {
    const [a, b] = [Math.ceil(Math.log10(lo) - 1e-9), Math.floor(Math.log10(hi) + 1e-9)];
    const by = Math.max(1, Math.ceil((b - a + 1) / most));
    for (let e = Math.ceil(a / by) * by; e <= b; e += by) ticks.push([10 ** e, powerOfTen(e)]);
    if (ticks.length > 2) return ticks;
    const between = [];
    for (let e = Math.floor(Math.log10(lo)); e <= Math.log10(hi); e++)
      for (const k of [1, 2, 5]) if (k * 10 ** e >= lo * 0.999 && k * 10 ** e <= hi * 1.001) between.push(k * 10 ** e);
    const text = (v) => (v >= 1_000 ? v.toLocaleString("en") : say(v));
    return between.length > 2 ? between.map((v) => [v, text(v)]) : ticksOf(lo, hi, false, most);
  }
  const power = 10 ** Math.floor(Math.log10((hi - lo) / most || 1));
  const by = [1, 2, 5, 10].map((k) => k * power).find((k) => (hi - lo) / k <= most) ?? 10 * power;
  for (let v = Math.ceil(lo / by - 1e-9) * by; v <= hi + 1e-9 * by; v += by) {
    const value = Number(v.toPrecision(10));
    ticks.push([value, value.toLocaleString("en")]);
  }
  return ticks;
}

/** The place in `steps` that is nearest to one step. */
export function nearestStep(steps, step) {
  let best = 0;
  for (const [k, at] of steps.entries()) if (Math.abs(at - step) < Math.abs(steps[best] - step)) best = k;
  return best;
}

/** Least and largest of what is drawn on one axis. */
function rangeOf(values, log) {
  let [lo, hi] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const v of values) {
    if (!Number.isFinite(v) || (log && v <= 0)) continue;
    [lo, hi] = [Math.min(lo, v), Math.max(hi, v)];
  }
  return lo > hi ? [1, 10] : lo === hi ? [log ? lo / 2 : lo - 1, log ? hi * 2 : hi + 1] : [lo, hi];
}

/**
 * A chart. `show({ lines, bands, levels, log, logSteps, range, cursor, name }, dark)`: lines are { name, steps, values,
 * color, dash, wide, faint, quiet } (quiet ones are in no legend and not read out), bands { name, from, to, color },
 * levels { name, value }. Pointer and arrow keys read the values out.
 */
export function createChart({ tall = false } = {}) {
  const canvas = el("canvas", { class: `chart${tall ? " tall" : ""}`, role: "img", tabindex: "0" });
  const legend = el("div", { class: "legend" });
  const readout = el("p", { class: "note", role: "status" }, "\u00a0");
  const node = el("div", {}, canvas, legend, readout);
  let [what, isDark, place, pointed] = [null, false, null, -1];

  const stepsOf = () => what.lines[0]?.steps ?? [];
  function readOut() {
    const steps = stepsOf();
    if (pointed < 0 || !steps.length) {
      readout.textContent = "\u00a0";
      return;
    }
    const step = steps[pointed];
    const words = what.lines
      .filter((one) => !one.quiet)
      .map((one) => `${one.name} ${say(one.values[nearestStep(one.steps, step)], 2)}`);
    readout.textContent = `Step ${step.toLocaleString("en")}: ${words.join(", ")}`;
  }
  function point(k) {
    if (k === pointed) return;
    pointed = k;
    draw();
    readOut();
  }
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    point(nearestStep(stepsOf(), place.step(event.clientX - box.left)));
  });
  canvas.addEventListener("pointerleave", () => point(-1));
  canvas.addEventListener("blur", () => point(-1));
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const steps = stepsOf();
    if (!by || !steps.length) return;
    event.preventDefault();
    const from = pointed < 0 ? nearestStep(steps, what.cursor ?? steps.at(-1)) - by : pointed;
    point(Math.min(steps.length - 1, Math.max(0, from + by)));
  });

  function scales(context, width, height, size) {
    const { lines, levels = [], log, logSteps } = what;
    const values = [...lines.flatMap((one) => Array.from(one.values)), ...levels.map((one) => one.value)];
    const [lo, hi] = what.range ?? rangeOf(values, log);
    const firstStep = Math.min(...lines.flatMap((one) => [one.steps[0]]));
    const last = Math.max(firstStep + 1, ...lines.map((one) => one.steps.at(-1)));
    const least = Math.max(1, Math.min(...lines.flatMap((one) => one.steps.filter((s) => s > 0))));
    const ticks = ticksOf(lo, hi, log, Math.max(2, Math.floor(height / (3 * size))));
    const left = 10 + Math.max(...ticks.map(([, text]) => context.measureText(text).width));
    const [right, top, bottom] = [width - 10, 1.7 * size, height - 2.9 * size];
    const up = (v) => (log ? Math.log(v) : v);
    // With logarithmic steps, step 0 stands where half the first step would.
    const along = (s) => (logSteps ? Math.log(Math.max(s, least / 2)) : s);
    const [from, to] = [along(logSteps ? Math.max(firstStep, least / 2) : firstStep), along(last)];
    return {
      ticks,
      left,
      right,
      top,
      bottom,
      stepTicks: logSteps
        ? ticksOf(least, last, true, width / (5 * size))
        : ticksOf(firstStep, last, false, width / (6 * size)),
      x: (s) => left + ((along(s) - from) / (to - from || 1)) * (right - left),
      y: (v) => bottom - ((up(v) - up(lo)) / (up(hi) - up(lo) || 1)) * (bottom - top),
      step: (px) => {
        const t = from + ((px - left) / (right - left)) * (to - from);
        return logSteps ? Math.exp(t) : t;
      },
    };
  }
  function drawLine(context, { steps, values, color, dash, wide = 1.8, faint }) {
    context.beginPath();
    let pen = false;
    for (const [k, v] of Array.from(values).entries()) {
      const there = Number.isFinite(v) && (!what.log || v > 0);
      if (there) context[pen ? "lineTo" : "moveTo"](place.x(steps[k]), place.y(v));
      pen = there;
    }
    context.globalAlpha = faint ? 0.3 : 1;
    context.strokeStyle = context.fillStyle = color;
    context.lineWidth = wide;
    context.setLineDash(dash ?? []);
    context.stroke();
    context.setLineDash([]);
    if (steps.length === 1 && Number.isFinite(values[0])) {
      context.beginPath();
      context.arc(place.x(steps[0]), place.y(values[0]), 3.5, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }
  function draw() {
    const size = textSize(0.75);
    const [width, height] = [canvas.clientWidth || 320, canvas.clientHeight || 220];
    const context = fit(canvas, width, height);
    const [ink, soft, faint] = isDark ? ["#eceef1", "#a3abb7", "#2e343d"] : ["#1b1f27", "#5c6470", "#e3e1dc"];
    context.font = `${size}px system-ui, sans-serif`;
    if (!what.lines.length) return;
    place = scales(context, width, height, size);
    const { left, right, top, bottom, x, y } = place;
    for (const { name, from, to, color } of what.bands ?? []) {
      const [a, b] = [Math.max(left, x(from)), Math.min(right, x(to))];
      if (b <= a) continue;
      context.globalAlpha = isDark ? 0.2 : 0.16;
      context.fillStyle = color;
      context.fillRect(a, top, b - a, bottom - top);
      context.globalAlpha = 1;
      context.fillStyle = ink;
      context.textAlign = "center";
      if (context.measureText(name).width < b - a - 4) context.fillText(name, (a + b) / 2, top - 0.4 * size);
    }
    context.strokeStyle = faint;
    context.fillStyle = soft;
    context.lineWidth = 1;
    for (const [v, text] of place.ticks) {
      context.textAlign = "right";
      context.strokeRect(left, Math.round(y(v)) + 0.5, right - left, 0);
      context.fillText(text, left - 5, y(v) + 0.35 * size);
    }
    for (const [s, text] of place.stepTicks) {
      const half = context.measureText(text).width / 2;
      context.textAlign = "center";
      context.fillText(text, Math.min(width - half - 1, Math.max(half, x(s))), bottom + 1.3 * size);
    }
    context.fillText(what.logSteps ? "step (log scale)" : "step", (left + right) / 2, height - 0.3 * size);
    for (const { name, value } of what.levels ?? []) {
      context.strokeStyle = soft;
      context.setLineDash([4, 3]);
      context.strokeRect(left, y(value), right - left, 0);
      context.setLineDash([]);
      context.textAlign = "right";
      context.fillText(name, right, y(value) - 0.35 * size);
    }
    for (const one of what.lines) drawLine(context, one);
    const mark = (step, color, wide) => {
      context.strokeStyle = color;
      context.lineWidth = wide;
      context.strokeRect(x(step), top, 0, bottom - top);
    };
    if (what.cursor !== undefined && stepsOf().length > 1) mark(what.cursor, ink, 1.4);
    if (pointed >= 0 && pointed < stepsOf().length) mark(stepsOf()[pointed], soft, 1);
  }
  return {
    node,
    canvas,
    show(next, dark) {
      [what, isDark] = [next, dark];
      pointed = Math.min(pointed, stepsOf().length - 1);
      draw();
      readOut();
      const named = what.lines.filter((one) => !one.quiet);
      canvas.setAttribute(
        "aria-label",
        `${what.name} against the step: ${named.map((one) => one.name).join(", ")}. Arrow keys read the values.`,
      );
      legend.replaceChildren(
        ...named.map((one) => el("span", { class: "key" }, swatch(one.color, one.dash), one.name)),
        ...(what.bands ?? []).map((one) => el("span", { class: "key" }, spot(one.color), one.name)),
      );
    },
  };
}

/** A short piece of a line, for a legend. */
export function swatch(color, dash) {
  return svg(
    "svg",
    { class: "swatch", viewBox: `0 0 ${SPAN_OF_LEGEND} 10`, "aria-hidden": "true" },
    svg("line", { x2: SPAN_OF_LEGEND, y1: 5, y2: 5, stroke: color, "stroke-dasharray": dash?.join(" ") ?? null }),
  );
}

/** A band's colour, for a legend. */
function spot(color) {
  const dot = el("i", { class: "dot band" });
  dot.style.background = color;
  return dot;
}
