// What a dictionary looks like as a whole: its directions where they can be drawn, else cosines with the true features.

import { el, fit, fixed, svg } from "./dom.js";
import { divergingParts } from "./color.js";
import { cosines } from "./sae_sweep.js";
import { KINDS, unitOf } from "./dictionary_kinds.js";
import { makeTurnable, place } from "./turning.js";

const MAX_NAMED = 24;

/** Latents in the order of the features they are matched with, the others after them by their nearest feature. */
export function byFeature(sae) {
  const own = (row) => (sae.matched[row] >= 0 ? sae.matched[row] : sae.targets + Math.max(0, sae.nearest[row]));
  const of = (row) => 2 * sae.targets * sae.group(row) + own(row); // of several matrices one after the other
  return Array.from(sae.index.keys()).sort((p, q) => of(p) - of(q));
}

/** What the map shows: the blocks of a dictionary, or the cosines of its latents with the true features. */
function blocksOf(sae) {
  if (sae.blocks.length) return sae.blocks;
  const cosine = cosines(sae.directions, sae.decoder, sae.m);
  return [{ label: "", rows: sae.n, most: 1, drawn: (i, row) => cosine[i * sae.count + row] }];
}

/** A map of cosines, weights or shares: a row for every feature or manifold, a column for every latent. */
export function createCosineMap({ side, kind, onpick }) {
  const says = KINDS[kind].map;
  const canvas = el("canvas", { class: "cosines", role: "img" });
  const readout = el("p", { class: "note" }, " ");
  const title = el("figcaption", {});
  const node = el("figure", {}, title, canvas, readout);
  const scale = el(
    "div",
    { class: "legend" },
    el("small", {}, says.least),
    el("span", { class: kind === "manifolds" ? "ramp one-way" : "ramp both-ways", "aria-hidden": "true" }),
    el("small", {}, says.most),
  );
  node.append(scale);
  const image = document.createElement("canvas"); // one pixel for every cosine
  let [sae, order, lines, blocks, painted] = [null, [], [], [], null]; // lines: [block, its row] from top to bottom
  function paint(dark) {
    [image.width, image.height] = [sae.count, lines.length];
    const pixels = new ImageData(sae.count, lines.length);
    for (const [i, [block, row]] of lines.entries()) {
      for (const [j, l] of order.entries())
        pixels.data.set(
          [...divergingParts((block.drawn(row, l) || 0) / block.most, dark), 255],
          4 * (i * sae.count + j),
        );
    }
    image.getContext("2d").putImageData(pixels, 0, 0);
    painted = dark;
  }
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const clamp = (x, most) => Math.min(most - 1, Math.max(0, Math.floor(x * most)));
    return [
      clamp((event.clientY - box.top) / box.height, lines.length),
      clamp((event.clientX - box.left) / box.width, sae.count),
    ];
  };
  canvas.addEventListener("pointermove", (event) => {
    const [i, j] = at(event);
    const [block, row] = lines[i];
    const value = fixed(block.drawn(row, order[j]));
    const of = blocks.length > 1 ? `${block.label} · ` : "";
    const what = kind === "manifolds" ? sae.called(row) : `${block.of ?? "feature"} ${row}`;
    readout.textContent = `${of}${what} · ${unitOf(kind)} ${sae.name(sae.index[order[j]])}: ${says.word} ${value}`;
  });
  canvas.addEventListener("pointerleave", () => {
    readout.textContent = " ";
  });
  canvas.addEventListener("click", (event) => onpick(sae.index[order[at(event)[1]]], side));
  return {
    node,
    show(next, row, dark, name) {
      if (sae !== next) {
        [sae, order] = [next, byFeature(next)];
        blocks = blocksOf(sae);
        lines = blocks.flatMap((block) => Array.from({ length: block.rows }, (_, i) => [block, i]));
        painted = null;
      }
      title.textContent = name;
      const width = canvas.clientWidth || 280;
      const most = (name ? 230 : 340) * (blocks.length > 1 ? 1.4 : 1);
      const height = Math.min(most, Math.max(120, (width * lines.length) / sae.count));
      canvas.style.height = `${height}px`;
      const context = fit(canvas, width, height);
      const [w, h] = [width / sae.count, height / lines.length];
      if (painted !== dark) paint(dark);
      context.imageSmoothingEnabled = false;
      context.drawImage(image, 0, 0, width, height);
      if (Math.min(w, h) > 5) {
        context.fillStyle = dark ? "#1c2027" : "#fff"; // thin lines between the squares
        for (let j = 1; j < sae.count; j++) context.fillRect(j * w - 0.25, 0, 0.5, height);
        for (let i = 1; i < lines.length; i++) context.fillRect(0, i * h - 0.25, width, 0.5);
      }
      let above = 0; // rows of the blocks before
      for (const [k, block] of blocks.entries()) {
        if (blocks.length === 1) break;
        const y = above * h;
        above += block.rows;
        context.fillStyle = dark ? "#eceef1" : "#1b1f27";
        if (k) context.fillRect(0, y - 1, width, 2);
        context.font = "600 12px system-ui, sans-serif";
        context.fillStyle = dark ? "#1c2027" : "#fff";
        const wide = context.measureText(block.label).width + 10;
        const left = says.labelsRight ? width - wide : 0; // where subcomponents of no feature are
        context.fillRect(left, y + 1, wide, 19);
        context.fillStyle = dark ? "#eceef1" : "#1b1f27";
        context.fillText(block.label, left + 5, y + 15);
      }
      for (const [g, matrix] of (sae.matrices ?? []).entries()) {
        const [x, end] = [g, g + 1].map((k) => order.filter((one) => sae.group(one) < k).length * w);
        const bottom = blocks[0].rows * h; // of the first block, where on the right are those that no feature needs
        context.font = "600 12px system-ui, sans-serif";
        const wide = context.measureText(matrix).width + 10;
        context.fillStyle = dark ? "#eceef1" : "#1b1f27";
        if (g) context.fillRect(x - 1, 0, 2, height);
        context.fillStyle = dark ? "#1c2027" : "#fff";
        context.fillRect(end - wide - 1, bottom - 20, wide, 19);
        context.fillStyle = dark ? "#eceef1" : "#1b1f27";
        context.fillText(matrix, end - wide + 4, bottom - 6);
      }
      const column = order.indexOf(row);
      if (row >= 0 && column >= 0) {
        context.strokeStyle = dark ? "#fff" : "#111";
        context.lineWidth = 1.5;
        context.strokeRect(Math.max(0.75, column * w - 0.75), 0.75, Math.max(3, w + 0.5), height - 1.5);
      }
      canvas.setAttribute(
        "aria-label",
        `${KINDS[kind].atlas}: ${blocks[0].rows} ${says.rows}, ${sae.count} ${unitOf(kind)}s ordered by their ` +
          `${kind === "manifolds" ? "manifold" : "feature"}.`,
      );
    },
  };
}

/** True features and latents as arrows, in two or three dimensions, with the examples of the chosen latent as dots. */
export function createDirections({ side, onpick, onturn }) {
  const image = svg("svg", { viewBox: "-112 -112 224 224", class: "picture directions", role: "img", tabindex: "0" });
  const title = el("figcaption", {});
  const node = el("figure", { class: side }, title, image);
  let [sae, chosen, turn] = [null, -1, [0.6, 0.35]];

  function draw() {
    const { n, m, count } = sae;
    const columns = (values, k, rows) => Array.from({ length: rows }, (_, i) => values[i * m + k]);
    const W = Float64Array.from(
      Array.from({ length: m }, (_, k) => [...columns(sae.directions, k, n), ...columns(sae.decoder, k, count)]).flat(),
    );
    const points = place({ d: Math.min(m, 3), at: W }, n + count, ...turn);
    const longest = Math.max(1, ...sae.norms);
    let reach = 0; // of the examples of all latents, so that the scale stays
    for (let t = 0; sae.h && t < sae.inputs; t++) reach = Math.max(reach, Math.hypot(...sae.h(t)));
    const size = Math.min(88 / longest, reach ? 106 / reach : 88);
    const parts = [svg("circle", { r: size, class: "unit" })];
    if (chosen >= 0 && sae.h) {
      const shown = sae.top(chosen).concat(sae.samples(chosen));
      const most = Math.max(...shown.map((e) => e.activation));
      const at = Float64Array.from(Array.from({ length: m }, (_, k) => shown.map((e) => sae.h(e.index)[k])).flat());
      const dots = place({ d: m, at }, shown.length, ...turn);
      for (const [k, [x, y]] of dots.entries()) {
        parts.push(
          svg("circle", {
            class: "example",
            cx: (x * size).toFixed(1),
            cy: (-y * size).toFixed(1),
            r: (1.2 + 2 * (shown[k].activation / most)).toFixed(1),
          }),
        );
      }
    }
    for (const [i, [x, y]] of points.entries()) {
      const latent = i - n;
      if (latent < 0 && sae.kind === "manifolds") continue; // axes of a subspace, which are no features
      const live = latent < 0 || sae.frequency[latent] > 0;
      const arrow = svg("g", {
        class: latent < 0 ? "truth" : latent === chosen ? "latent lit" : "latent",
        opacity: live ? 1 : 0.35,
      });
      const [px, py] = [x * size, -y * size];
      arrow.append(svg("line", { x2: px.toFixed(1), y2: py.toFixed(1) }));
      const out = Math.hypot(px, py) || 1;
      const far = (latent < 0 ? out + 8 : out * 0.72) / out;
      if (latent >= 0) {
        arrow.append(
          svg("line", { x2: px.toFixed(1), y2: py.toFixed(1), class: "grip" }),
          svg("circle", { cx: px.toFixed(1), cy: py.toFixed(1), r: 3 }),
        );
        arrow.addEventListener("click", () => onpick(sae.index[latent], side));
      }
      const label =
        latent < 0
          ? n <= MAX_NAMED && sae.norms[i] > 0.2
            ? String(i)
            : ""
          : latent === chosen
            ? `${unitOf(sae.kind)} ${sae.name(sae.index[latent])}`
            : "";
      const text = latent < 0 ? [px * far, py * far + 3] : [px * 0.5, py * 0.5 - 5];
      if (label) arrow.append(svg("text", { x: text[0].toFixed(1), y: text[1].toFixed(1) }, label));
      parts.push(arrow);
    }
    image.replaceChildren(...parts);
    image.classList.toggle("turns", m > 2);
  }
  const turning = makeTurnable(image, {
    isSolid: () => sae?.m > 2,
    turn: () => turn,
    onturn,
    onmove: (now) => {
      turn = now;
      draw();
    },
  });
  return {
    node,
    show(next, row, yaw, pitch, name) {
      [sae, chosen] = [next, row];
      if (!turning.turning()) turn = [yaw, pitch];
      title.textContent = name;
      draw();
      const unit = unitOf(sae.kind);
      image.setAttribute(
        "aria-label",
        `${sae.kind === "manifolds" ? "" : `${sae.n} true features (dashed) and `}${sae.count} ${unit}s in ${sae.m} ` +
          `dimensions${row >= 0 ? `; ${unit} ${sae.name(sae.index[row])} is chosen` : ""}${side === "b" ? "; B" : ""}.`,
      );
    },
  };
}
