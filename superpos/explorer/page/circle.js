// The numbers 0 … p − 1 in the plane of one frequency: on a circle, if the model adds by turning.

import { el, fit, fixed, labelled, select, textSize } from "./dom.js";
import { ramp } from "./color.js";
import { circleSentence } from "./modular_words.js";
import { explainedWord } from "./spectrum.js";
import { createCard } from "./transformer_page.js";

/** The order in which numbers follow on the circle of frequency k: k times the distance of neighbours is 1. */
export function aroundCircle(p, k) {
  let inverse = 1;
  while ((inverse * k) % p !== 1) inverse += 1;
  return Array.from({ length: p }, (_, i) => (i * inverse) % p);
}

/** The card. `onpick(frequency)`. */
export function createCircle({ onpick }) {
  const sentence = el("p", { class: "sees" });
  const canvas = el("canvas", { class: "round", role: "img", tabindex: "0" });
  const readout = el("p", { class: "note", role: "status" }, "\u00a0");
  const choice = el("div", { class: "controls" });
  const facts = el("p", { class: "facts" }, explainedWord("circle"));
  const node = createCard("circle", "Circle of the embedding", sentence, choice, canvas, readout, facts);
  let [model, at, place, k, isDark, pointed, offered] = [null, 0, 0, 1, false, -1, ""];
  let dots = [];

  function point(a) {
    if (a === pointed) return;
    pointed = a;
    draw();
    readOut();
  }
  function readOut() {
    if (pointed < 0) {
      readout.textContent = "\u00a0";
      return;
    }
    const points = model.circleAt(at, place);
    const [x, y] = [points[2 * pointed], points[2 * pointed + 1]];
    const angle = Math.round(((Math.atan2(y, x) * 180) / Math.PI + 360) % 360);
    readout.textContent = `Number ${pointed}: at ${angle}°, ${fixed(Math.hypot(x, y))} from the middle`;
  }
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const off = ([x, y]) => Math.hypot(x - event.clientX + box.left, y - event.clientY + box.top);
    const best = dots.reduce((p, q, a) => (off(q) < off(dots[p]) ? a : p), 0);
    point(off(dots[best]) < 30 ? best : -1);
  });
  canvas.addEventListener("pointerleave", () => point(-1));
  canvas.addEventListener("blur", () => point(-1));
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    point(pointed < 0 ? 0 : (pointed + by + model.p) % model.p);
  });

  function draw() {
    const { p } = model;
    const side = canvas.clientWidth || 300;
    const context = fit(canvas, side, side);
    const size = textSize(p > 60 ? 0.6875 : 0.75);
    const [ink, faint] = isDark ? ["#eceef1", "#3c434d"] : ["#1b1f27", "#d5d3cd"];
    const points = model.circleAt(at, place);
    const final = model.circleAt(model.pictured.length - 1, place);
    const far = (of) => Math.max(...Array.from({ length: p }, (_, a) => Math.hypot(of[2 * a], of[2 * a + 1])));
    const reach = Math.max(far(points), far(final)) || 1; // so that the circle is seen to form at one scale
    const [middle, radius] = [side / 2, side / 2 - 2 * size];
    const scale = radius / reach;
    dots = Array.from({ length: p }, (_, a) => [middle + scale * points[2 * a], middle - scale * points[2 * a + 1]]);
    const around = aroundCircle(p, k);
    context.strokeStyle = faint;
    context.lineWidth = 1;
    context.beginPath();
    for (const a of [...around, around[0]]) context.lineTo(...dots[a]);
    context.stroke();
    const mean = dots.reduce((sum, [x, y]) => sum + Math.hypot(x - middle, y - middle), 0) / p;
    context.font = `${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    const every = Math.max(1, Math.ceil((p * 1.3 * size) / (2 * Math.PI * Math.max(mean, 20))));
    const labels = []; // those that would lie on others are left to the pointer
    const besideDot = (x, y) => {
      const out = Math.hypot(x - middle, y - middle) || 1;
      const outside = (out + 1.15 * size) / out;
      return [middle + outside * (x - middle), middle + outside * (y - middle)];
    };
    for (const [i, a] of around.entries()) {
      const [x, y] = dots[a];
      context.fillStyle = ramp(isDark ? 0.3 + (0.7 * a) / p : (0.85 * a) / p);
      context.beginPath();
      context.arc(x, y, a === pointed ? 6 : 3.2, 0, 2 * Math.PI);
      context.fill();
      if (i % every && a !== pointed) continue;
      const [tx, ty] = besideDot(x, y);
      const onOther = ([u, v]) => Math.abs(u - tx) < 1.3 * size && Math.abs(v - ty) < 0.9 * size;
      if (a !== pointed && labels.some(onOther)) continue;
      labels.push([tx, ty]);
      context.fillStyle = ink;
      context.font = `${a === pointed ? 700 : 400} ${size}px system-ui, sans-serif`;
      context.fillText(String(a), tx, ty + 0.35 * size);
    }
  }
  function offer(chosen) {
    const list = model.circles.join(" ");
    if (list !== offered) {
      const pairs = model.circles.map((one) => [one, model.keys.includes(one) ? `${one} (key)` : String(one)]);
      choice.replaceChildren(
        labelled(
          "frequency",
          select(pairs, chosen, (value) => onpick(Number(value)), "frequency of the circle"),
        ),
      );
      offered = list;
    }
    choice.querySelector("select").value = chosen;
  }
  return {
    node,
    show(next, s, dark) {
      [model, at, k, isDark] = [next, s.at, s.freq, dark];
      place = model.circles.indexOf(k);
      pointed = Math.min(pointed, model.p - 1);
      offer(k);
      draw();
      readOut();
      sentence.textContent = circleSentence(model, at, place, k);
      canvas.setAttribute(
        "aria-label",
        `The numbers 0 to ${model.p - 1} in the plane of frequency ${k}. Arrow keys read their places.`,
      );
    },
  };
}
