// One latent: what it does, which true features it answers to, when it fires, and who is near.

import { el, fixed, say, svg } from "./dom.js";
import { facts, inWords, saysOf, unitOf } from "./dictionary_kinds.js";

function histogram(sae, row) {
  const counts = sae.histogram(row);
  const most = Math.max(1, ...counts);
  const [width, height] = [260, 74];
  const [least, largest] = [say(sae.edges[0], 2), say(sae.edges.at(-1), 2)];
  const image = svg("svg", {
    viewBox: `0 0 ${width} ${height + 16}`,
    class: "histogram",
    role: "img",
    "aria-label": `Histogram of its activations from ${least} to ${largest}, on a log scale`,
  });
  const step = width / counts.length;
  for (const [k, count] of counts.entries()) {
    const h = (height - 4) * (count / most);
    if (count)
      image.append(
        svg(
          "rect",
          {
            x: (k * step + 0.5).toFixed(1),
            y: (height - Math.max(h, 1)).toFixed(1),
            width: (step - 1).toFixed(1),
            height: Math.max(h, 1).toFixed(1),
          },
          svg("title", {}, `${say(sae.edges[k], 2)} to ${say(sae.edges[k + 1], 2)}: ${count} inputs`),
        ),
      );
  }
  image.append(svg("line", { x1: 0, x2: width, y1: height, y2: height }));
  const [lo, hi] = [Math.log(sae.edges[0]), Math.log(sae.edges.at(-1))];
  for (let e = Math.ceil(lo / Math.LN10); e * Math.LN10 <= hi; e++) {
    const x = (width * (e * Math.LN10 - lo)) / (hi - lo);
    image.append(svg("text", { x: Math.min(width - 12, Math.max(12, x)).toFixed(1), y: height + 13 }, say(10 ** e)));
  }
  return image;
}

/** The parts of a crosscoder's latent: of each model its share of the norms, and its cosine with the feature there. */
function partsOf(sae, row) {
  const own = sae.matched[row];
  const rows = Array.from(sae.shares(row), (share, m) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, `model ${m}`),
      el("td", {}, meter(share, "p")),
      el("td", {}, own < 0 ? "–" : fixed(sae.blocks[m].at(own, row))),
    ),
  );
  const head = ["model", "share of norms", own < 0 ? "cosine" : `cosine with feature ${own}`];
  const columns = head.map((text) => el("th", { scope: "col" }, text));
  return el("table", { class: "answers parts" }, el("thead", {}, el("tr", {}, ...columns)), el("tbody", {}, ...rows));
}

const NEURONS_LISTED = 5;

/** The neurons that a part of a network's matrix reads or writes most: their entries in its unit vector. */
function neuronsOf(sae, row) {
  const block = sae.blocks.find(({ of }) => of === "neuron");
  const entries = Array.from({ length: block.rows }, (_, i) => [i, block.at(i, row)]);
  const most = entries.sort(([, p], [, q]) => Math.abs(q) - Math.abs(p)).slice(0, NEURONS_LISTED);
  const rows = most.map(([i, value]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, `neuron ${i}`),
      el("td", {}, meter(Math.abs(value), "p", fixed(value))),
    ),
  );
  const head = ["neuron", "entry"].map((text) => el("th", { scope: "col" }, text));
  return el("table", { class: "answers neurons" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

const meter = (value, kind, text = fixed(value)) =>
  el(
    "span",
    { class: `measure ${kind}` },
    svg(
      "svg",
      { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: Math.round(100 * value), height: 10 }),
    ),
    el("span", {}, text),
  );

function features(sae, row) {
  const list = sae.features(row);
  if (!list.length) return el("p", { class: "note" }, saysOf(sae.kind).never);
  const blocks = sae.blocks.filter(({ label, of }) => of === "feature" && !label.startsWith("in identity"));
  const more = sae.shares || !blocks.length ? [{ label: "cosine", at: sae.cosine }] : blocks;
  const rows = list.map((f) =>
    el(
      "tr",
      { class: f.index === sae.matched[row] ? "matched" : null },
      el(
        "th",
        { scope: "row" },
        more.length > 1 ? sae.short(f.index) : sae.called(f.index), // two more columns leave less room
        f.index === sae.matched[row] ? el("span", { class: "tick", title: "its own" }, " ✓") : null,
      ),
      el("td", {}, meter(f.precision, "p")),
      ...(sae.alone ? [] : [el("td", {}, meter(f.recall, "r"))]), // four more columns leave no room
      ...more.map((block) => el("td", {}, fixed(block.at(f.index, row)))),
    ),
  );
  const verb = sae.group(row) ? "written" : "read"; // of a network's features
  const labels = more.map(({ label }) => (sae.manifolds ? "share" : label === "features" ? verb : label));
  const quality = sae.alone ? ["precision"] : ["precision", "recall"];
  const head = [sae.manifolds ? "manifold" : "feature", ...quality, ...labels].map((text) =>
    el("th", { scope: "col" }, text),
  );
  return el("table", { class: "answers" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

const MAX_CHIPS = 6;

function examples(sae, row, which) {
  const list = sae[which](row);
  if (!list.length) return el("p", { class: "note" }, saysOf(sae.kind).never);
  const strongest = sae.top(row)[0].activation;
  const said = sae.matched[row] >= 0 ? sae.matched[row] : (sae.features(row)[0]?.index ?? -1);
  return el(
    "ol",
    { class: "examples" },
    ...list.map(({ index, activation }) => {
      const active = sae.active(index);
      const chips = active
        .slice(0, MAX_CHIPS)
        .map(([i, value]) =>
          el("span", { class: i === said ? "chip mine" : "chip" }, el("b", {}, sae.short(i)), ` ${value.toFixed(2)}`),
        );
      if (active.length > MAX_CHIPS) chips.push(el("small", {}, `+${active.length - MAX_CHIPS}`));
      if (!active.length) chips.push(el("small", {}, sae.manifolds ? "no manifold" : "no feature"));
      const image = svg(
        "svg",
        { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { width: (100 * Math.min(1, activation / strongest)).toFixed(0), height: 10 }),
      );
      return el(
        "li",
        {},
        el(
          "span",
          { class: "measure" },
          image,
          el("span", {}, activation >= 0.1 ? fixed(activation) : say(activation, 2)),
        ),
        el("span", { class: "active" }, ...chips),
      );
    }),
  );
}

/** The panel of one side, "a" or "b". `onpick(latent, side)`. */
export function createLatent({ side, state, onpick, sorts }) {
  const node = el("section", {
    class: `card latent-card ${side}`,
    "aria-label": side === "a" ? "the chosen latent" : "the latent of B",
  });
  return {
    node,
    show(sae, latent, name, s) {
      const row = latent < 0 ? undefined : sae.rowOf.get(latent);
      const title = el("div", { class: "side" }, el("b", {}, side === "a" ? "A" : "B"), ` ${name}`);
      const heading = s.b >= 0 ? [title] : [];
      if (row === undefined) {
        node.replaceChildren(
          ...heading,
          el(
            "p",
            { class: "nothing" },
            s.b >= 0 ? `None of ${side.toUpperCase()} is paired with this one.` : "Choose one in the table.",
          ),
        );
        return;
      }
      const matched = sae.matched[row];
      const kind = sae.sort(row);
      const [unit, Targets] = [unitOf(sae.kind), sae.manifolds ? "Manifolds" : "Features"];
      const says = saysOf(sae.kind);
      const called = (text) => (side === "b" ? `${text}, of B` : null); // both sides have the same buttons
      const which = (value, text) =>
        el(
          "button",
          {
            type: "button",
            "aria-label": called(text),
            "aria-pressed": String((s.strip === "samples") === (value === "samples")),
            onclick: () => state.set({ strip: value }),
          },
          text,
        );
      const near = sae.neighbours(row).map((n) => {
        const there = sae.rowOf.get(n.index);
        const to = there === undefined || sae.matched[there] < 0 ? "" : ` → ${sae.short(sae.matched[there])}`;
        return el(
          "button",
          {
            type: "button",
            class: "near",
            "aria-label": called(`${unit} ${sae.name(n.index)}${to} cos ${fixed(n.cosine)}`),
            onclick: () => onpick(n.index, side),
          },
          el("span", {}, `${sae.matrices ? "" : `${unit} `}${sae.name(n.index)}${to}`),
          el("small", {}, `cos ${fixed(n.cosine)}`),
        );
      });
      const block = (text, ...children) => el("div", { class: "block" }, el("h3", {}, text), ...children);
      const own = matched >= 0 ? ` → ${sae.called(matched)}` : "";
      const sides = sae.signed ? " (+ above 0, − below)" : "";
      const focused = [...node.querySelectorAll("button")].indexOf(document.activeElement);
      node.replaceChildren(
        ...heading,
        el(
          "div",
          { class: "naming" },
          el(
            "h2",
            { class: "latent-name" },
            `${unit[0].toUpperCase()}${unit.slice(1)} ${sae.name(sae.index[row])}`,
            own,
          ),
          el("span", { class: `badge ${kind}` }, sorts[kind]),
        ),
        el("p", { class: "words" }, inWords(sae, row)),
        el(
          "dl",
          { class: "facts-row" },
          ...facts(sae, row).map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v))),
        ),
        el(
          "div",
          { class: "blocks" },
          sae.shares ? block("Its part in every model", partsOf(sae, row)) : null,
          block(`${Targets} it ${says.with}`, features(sae, row)),
          sae.matrices ? block(`Neurons it ${sae.group(row) ? "reads" : "writes to"}`, neuronsOf(sae, row)) : null,
          block(
            `Its ${says.value}s (log scale)`,
            sae.frequency[row] > 0 ? histogram(sae, row) : el("p", { class: "note" }, saysOf(sae.kind).never),
          ),
          el(
            "div",
            { class: "block broad" },
            el(
              "div",
              { class: "over" },
              el("h3", {}, says.inputs),
              el(
                "div",
                { class: "chips", role: "group", "aria-label": "which examples" },
                which("top", "strongest"),
                which("samples", "all strengths"),
              ),
            ),
            el(
              "p",
              { class: "legend-line" },
              `${says.value}, and the ${Targets.toLowerCase()} that were active${sides}: `,
              el("span", { class: "chip mine" }, el("b", {}, "its own")),
              " ",
              el("span", { class: "chip" }, el("b", {}, "others")),
            ),
            examples(sae, row, s.strip === "samples" ? "samples" : "top"),
          ),
          block(`Nearest ${unit}s`, el("div", { class: "nears" }, ...near)),
        ),
      );
      if (focused >= 0) node.querySelectorAll("button")[focused]?.focus();
    },
  };
}
