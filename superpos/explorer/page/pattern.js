// Where heads look: the attention of every head on one sequence, and of the chosen one with its tokens.

import { el, fit, fixed, textSize } from "./dom.js";
import { onDark } from "./color.js";
import { INDUCTION_MEANING, follows, headName, patternSentence } from "./induction_words.js";
import { term } from "./meaning.js";
import { createCard } from "./transformer_page.js";

/** One pixel for every query (row) and key (column); keys after the query stay clear. */
function paint(model, at, h, dark) {
  const n = model.drawn;
  const image = document.createElement("canvas");
  [image.width, image.height] = [n, n];
  const pixels = new ImageData(n, n);
  const weight = model.patternAt(at, h);
  const from = dark ? [36, 41, 49] : [243, 242, 239];
  const to = dark ? 255 : 0;
  for (let query = 0; query < n; query++) {
    for (let key = 0; key <= query; key++) {
      const t = weight(query, key);
      const color = from.map((a) => Math.round(a + t * (to - a)));
      pixels.data.set([...color, 255], 4 * (query * n + key));
    }
  }
  image.getContext("2d").putImageData(pixels, 0, 0);
  return image;
}

/** The card. `onpick(head)`. */
export function createPattern({ data, onpick }) {
  const sentence = el("p", { class: "sees" });
  const canvas = el("canvas", { class: "attention", role: "img", tabindex: "0" });
  const readout = el("p", { class: "note", role: "status" }, "\u00a0");
  const minis = el("div", { class: "head-patterns" });
  const cut = el("p", { class: "note" });
  const words = ["attention", "token", "period"].map((word) =>
    el("span", { class: "fact" }, term(word, word, INDUCTION_MEANING)),
  );
  const large = el("div", {}, canvas, readout);
  const beside = el("div", {}, minis, cut, el("p", { class: "facts" }, ...words));
  const both = el("div", { class: "patterns" }, large, beside);
  const node = createCard("pattern", "Attention on one sequence", sentence, both);
  let [model, at, head, isDark, pointed] = [null, 0, 0, false, null];
  let [left, top, square] = [0, 0, 1];

  function readOut() {
    if (!pointed) {
      readout.textContent = "\u00a0";
      return;
    }
    const [query, key] = pointed;
    const { tokens } = model;
    const value = fixed(model.patternAt(at, head)(query, key));
    const before = key === query - 1 ? ": the one before" : "";
    readout.textContent =
      `Query ${query} (token ${tokens[query]}) puts ${value} on key ${key} (token ${tokens[key]})` +
      (follows(tokens, query, key) ? `: what followed ${tokens[query]} earlier` : before);
  }
  function point(next) {
    pointed = next;
    draw();
    readOut();
  }
  const clamp = (k) => Math.min(model.drawn - 1, Math.max(0, k));
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - left, event.clientY - box.top - top];
    const query = clamp(Math.floor(y / square));
    point(x < 0 || y < 0 ? null : [query, Math.min(query, clamp(Math.floor(x / square)))]);
  });
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("blur", () => point(null));
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by) return;
    event.preventDefault();
    const [query, key] = pointed ?? [model.drawn - 1, clamp(model.drawn - model.period)];
    const next = pointed ? clamp(query + by[0]) : query;
    point([next, Math.min(next, clamp(pointed ? key + by[1] : key))]);
  });

  function draw() {
    const n = model.drawn;
    const size = textSize(0.6875);
    const side = canvas.clientWidth || 320;
    const context = fit(canvas, side, side);
    const [ink, soft, faint] = isDark ? ["#eceef1", "#a3abb7", "#2e343d"] : ["#1b1f27", "#5c6470", "#e3e1dc"];
    context.font = `${size}px system-ui, sans-serif`;
    const widest = Math.max(...Array.from(model.tokens, (token) => context.measureText(String(token)).width));
    left = top = widest + 1.8 * size;
    square = (side - left - 1) / n;
    context.imageSmoothingEnabled = false;
    context.drawImage(paint(model, at, head, isDark), left, top, square * n, square * n);
    context.strokeStyle = faint;
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, top + 0.5, square * n - 1, square * n - 1);
    // What followed last time lies between these lines.
    context.strokeStyle = isDark ? onDark(data.colors.induction) : data.colors.induction;
    context.setLineDash([4, 3]);
    const { period } = model;
    for (const off of [-1, 2]) {
      const first = period - 1;
      context.beginPath();
      context.moveTo(left + (first + 1 - period + off) * square, top + first * square);
      context.lineTo(left + (n + 1 - period + off) * square, top + n * square);
      if (period < n) context.stroke();
    }
    context.setLineDash([]);
    const every = Math.max(1, Math.ceil((size * 1.15) / square));
    const nearPointed = (k, off) => pointed !== null && pointed.some((one) => Math.abs(one - k) < off);
    context.fillStyle = soft;
    for (let k = 0; k < n; k++) {
      const lit = pointed && (pointed[0] === k || pointed[1] === k);
      if ((k % every || nearPointed(k, every)) && !lit) continue;
      context.fillStyle = lit ? ink : soft;
      const middle = (k + 0.5) * square;
      const text = String(model.tokens[k]);
      if (!lit || pointed[0] === k) {
        context.textAlign = "right";
        context.fillText(text, left - 4, top + middle + 0.35 * size);
      }
      if (lit && pointed[1] !== k) continue;
      context.save();
      context.translate(left + middle + 0.35 * size, top - 4);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(text, 0, 0);
      context.restore();
    }
    context.fillStyle = ink;
    context.textAlign = "left";
    context.fillText("key: the token looked at", left, size, square * n);
    context.save();
    context.translate(size, top + square * n);
    context.rotate(-Math.PI / 2);
    context.fillText("query: the token that looks", 0, 0, square * n);
    context.restore();
    if (pointed) {
      const [query, key] = pointed;
      context.strokeStyle = isDark ? "#f3a25f" : "#b34700";
      context.lineWidth = 2;
      context.strokeRect(left + key * square - 1, top + query * square - 1, square + 2, square + 2);
    }
  }
  function showMinis() {
    const focused = [...minis.children].indexOf(document.activeElement);
    minis.style.setProperty("--heads", Math.min(model.heads, 8));
    minis.replaceChildren(
      ...Array.from({ length: model.all }, (_, h) => {
        const image = paint(model, at, h, isDark);
        image.setAttribute("aria-hidden", "true");
        return el(
          "button",
          {
            type: "button",
            class: "mini-button",
            "aria-pressed": String(h === head),
            "aria-label": `attention of head ${headName(model, h)}`,
            onclick: () => onpick(h),
          },
          image,
          el("span", {}, headName(model, h)),
        );
      }),
    );
    if (focused >= 0) minis.children[focused]?.focus();
  }
  return {
    node,
    show(next, s, dark) {
      [model, at, head, isDark] = [next, s.at, s.head, dark];
      if (pointed) pointed = pointed.map(clamp);
      draw();
      readOut();
      showMinis();
      sentence.textContent = patternSentence(model, at, head);
      const part = `The first ${model.drawn} of ${model.positions} positions are drawn. `;
      cut.textContent =
        `${model.drawn < model.positions ? part : ""}The period of this sequence is ${model.period}: what followed ` +
        `last time lies between the dashed lines.`;
      canvas.setAttribute(
        "aria-label",
        `Attention of head ${headName(model, head)}, queries down and keys across. Arrow keys read the weights.`,
      );
    },
  };
}
