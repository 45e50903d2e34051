// The Fourier spectrum of the embedding: a bar for every frequency, key frequencies named.

import { el, fit, say, textSize } from "./dom.js";
import { onDark } from "./color.js";
import { MODULAR_MEANING, percentage, spectrumSentence } from "./modular_words.js";
import { ticksOf } from "./chart.js";
import { term } from "./meaning.js";
import { createCard } from "./transformer_page.js";

const [KEY, OTHER] = ["#E69F00", "#999999"];

/** Colours of key frequencies and of others. */
export const keyColors = (dark) => (dark ? [onDark(KEY), "#6d7480"] : [KEY, OTHER]);

/** Two spots and their words, for bars and dots. */
export function keyLegend(dark) {
  const [key, other] = keyColors(dark);
  const entry = (color, ...words) => {
    const dot = el("i", { class: "dot" });
    dot.style.background = color;
    return el("span", { class: "key" }, dot, ...words);
  };
  return [entry(key, "key"), entry(other, "other")];
}

/**
 * An axis of frequencies from 1 to `count` on a canvas that reads out what is pointed at, by pointer or arrow keys:
 * `told(k)` in words, `onpick(k)` on a click or Enter. Returns the canvas, its note, and `place(context, …)`.
 */
export function createFrequencyAxis({ told, onpick, draw }) {
  const canvas = el("canvas", { class: "chart", role: "img", tabindex: "0" });
  const readout = el("p", { class: "note", role: "status" }, "\u00a0");
  let [count, left, right, pointed] = [1, 0, 1, 0];
  function point(k) {
    if (k === pointed) return;
    pointed = k;
    readout.textContent = k ? told(k) : "\u00a0";
    draw();
  }
  const at = (event) => {
    const t = (event.clientX - canvas.getBoundingClientRect().left - left) / (right - left);
    return Math.min(count, Math.max(1, 1 + Math.floor(t * count)));
  };
  canvas.addEventListener("pointermove", (event) => point(at(event)));
  canvas.addEventListener("pointerleave", () => point(0));
  canvas.addEventListener("blur", () => point(0));
  canvas.addEventListener("click", (event) => onpick?.(at(event)));
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Enter" && pointed) onpick?.(pointed);
    if (!by) return;
    event.preventDefault();
    point(Math.min(count, Math.max(1, pointed + by)));
  });
  return {
    canvas,
    readout,
    /** Read out again: another model, or another place in training. */
    refresh: () => {
      readout.textContent = pointed ? told(Math.min(pointed, count)) : "\u00a0";
    },
    /** Room for `n` frequencies, with a scale up to `most` and its ticks drawn; key frequencies are named. */
    frame({ n, keys, most, up, across, dark, chosen }) {
      count = n;
      const size = textSize(0.75);
      const [width, height] = [canvas.clientWidth || 300, canvas.clientHeight || 240];
      const context = fit(canvas, width, height);
      const [ink, soft, faint] = dark ? ["#eceef1", "#a3abb7", "#2e343d"] : ["#1b1f27", "#5c6470", "#e3e1dc"];
      context.font = `${size}px system-ui, sans-serif`;
      const [top, bottom] = [1.9 * size, height - 3.1 * size];
      left = 12 + context.measureText("100 %").width;
      right = width - 6;
      const y = (share) => bottom - (share / most) * (bottom - top);
      const x = (k) => left + ((k - 0.5) / count) * (right - left);
      context.strokeStyle = faint;
      context.fillStyle = soft;
      context.textAlign = "right";
      for (const [v] of ticksOf(0, most, false, 4)) {
        context.strokeRect(left, Math.round(y(v)) + 0.5, right - left, 0);
        context.fillText(`${Number((100 * v).toPrecision(3))} %`, left - 5, y(v) + 0.35 * size);
      }
      context.textAlign = "left";
      context.fillText(up, 0, 0.9 * size);
      context.textAlign = "center";
      context.fillText(across, (left + right) / 2, height - 0.3 * size, right - left);
      const named = keys.length * 2 <= count ? keys : [];
      let until = 0;
      for (const k of named.length ? named : ticksOf(1, count, false, 6).map(([v]) => v).filter(Number.isInteger)) {
        const half = context.measureText(String(k)).width / 2 + 2;
        if (x(k) - half < until) continue; // names of neighbours would overlap
        until = x(k) + half;
        context.fillStyle = named.length ? ink : soft;
        context.font = `${k === chosen ? 700 : 400} ${size}px system-ui, sans-serif`;
        context.fillText(String(k), x(k), bottom + 1.3 * size);
      }
      context.font = `${size}px system-ui, sans-serif`;
      if (pointed) {
        context.fillStyle = faint;
        context.globalAlpha = 0.6;
        context.fillRect(x(pointed) - (right - left) / count / 2, top, (right - left) / count, bottom - top);
        context.globalAlpha = 1;
      }
      return { context, x, y, ink, soft, size, step: (right - left) / count, bottom };
    },
  };
}

/** The card. `onpick(frequency)` chooses whose circle is shown. */
export function createSpectrum({ onpick }) {
  const sentence = el("p", { class: "sees" });
  const legend = el("div", { class: "legend" });
  let [model, at, chosen, isDark] = [null, 0, 0, false];
  const axis = createFrequencyAxis({
    told: (k) => {
      const key = model.keys.includes(k) ? ", a key frequency" : "";
      return `Frequency ${k}${key}: ${percentage(model.energyAt(at)[k - 1])} of the energy`;
    },
    onpick: (k) => model.circles.includes(k) && onpick(k),
    draw,
  });
  const facts = el("p", { class: "facts" }, ...["frequency", "key frequency", "energy"].map(explainedWord));
  const node = createCard("spectrum", "Spectrum of the embedding", sentence, axis.canvas, legend, axis.readout, facts);

  function draw() {
    const energy = model.energyAt(at);
    const all = Array.from(model.pictured.keys()).flatMap((k) => Array.from(model.energyAt(k)));
    const most = 1.05 * Math.max(0.05, ...all);
    const place = axis.frame({
      n: model.count,
      keys: model.keys,
      most,
      up: "share of the energy",
      across: "frequency k",
      dark: isDark,
      chosen,
    });
    const [key, other] = keyColors(isDark);
    for (let k = 1; k <= model.count; k++) {
      place.context.fillStyle = model.keys.includes(k) ? key : other;
      const wide = Math.max(1, 0.8 * place.step);
      const y = place.y(energy[k - 1]);
      place.context.fillRect(place.x(k) - wide / 2, y, wide, place.bottom - y);
    }
  }
  return {
    node,
    show(next, s, dark) {
      [model, at, chosen, isDark] = [next, s.at, s.freq, dark];
      draw();
      axis.refresh();
      sentence.textContent = spectrumSentence(model, at);
      legend.replaceChildren(...keyLegend(dark), el("small", {}, "A click on a key frequency shows its circle."));
      axis.canvas.setAttribute(
        "aria-label",
        `Energy of the embedding by frequency. Arrow keys read it, Enter shows the circle. Largest: ` +
          `${say(100 * Math.max(...model.energyAt(at)), 2)} %.`,
      );
    },
  };
}

/** A word of this page that explains itself. */
export function explainedWord(word) {
  return el("span", { class: "fact" }, term(word, word, MODULAR_MEANING));
}
