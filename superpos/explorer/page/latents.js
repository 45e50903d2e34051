// The table of latents of one autoencoder, or of pairs of two: search, sort, choose.

import { el, fixed, svg } from "./dom.js";
import { KINDS, percent, unitOf } from "./dictionary_kinds.js";
import { matches, ordered, pairs } from "./sae_sweep.js";

/** A small histogram of activations, on a log scale. */
export function sparkline(counts) {
  const most = Math.max(1, ...counts);
  const image = svg("svg", {
    viewBox: `0 0 ${counts.length} 10`,
    preserveAspectRatio: "none",
    class: "spark",
    "aria-hidden": "true",
  });
  let d = "M0 10";
  for (const [k, count] of counts.entries()) d += `V${(10 - (9.5 * count) / most).toFixed(2)}H${k + 1}`;
  image.append(svg("path", { d: `${d}V10Z` }));
  return image;
}

function bar(value, side, text = fixed(value)) {
  const filled = Number.isFinite(value) ? (100 * Math.min(1, Math.max(0, value))).toFixed(0) : 0;
  return el(
    "span",
    { class: `measure ${side}` },
    svg(
      "svg",
      { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: filled, height: 10 }),
    ),
    el("span", {}, text),
  );
}

const side = (row, sae, value) => (row < 0 ? Number.NaN : sae[value][row]);
const has = (row, of) => (row < 0 ? Number.NaN : of(row));

/** Column of a crosscoder's norm shares: of two models that of the last, of more the largest. */
function shareOf(sae) {
  const two = sae.shares(0).length === 2;
  const share = (r) => (two ? sae.shares(r.a)[1] : Math.max(...sae.shares(r.a)));
  return { name: "share", label: two ? "in model 1" : "largest part", key: share, show: (r) => bar(share(r), "a") };
}

/**
 * Columns of the table: name, key to sort by, what a row shows. `first` says in which direction it is useful to
 * begin.
 */
function columnsOf(A, B) {
  const named = (sae) => (i) => (i < 0 ? "–" : sae.name(sae.index[i]));
  const [a, b] = [named(A), B ? named(B) : null];
  const [kind, unit] = [KINDS[A.kind], unitOf(A.kind)];
  const feature = {
    name: "feature",
    label: kind.target,
    key: (r) => (r.feature < 0 ? Number.NaN : r.feature + A.targets * (r.a < 0 ? B.group(r.b) : A.group(r.a))),
    first: true,
    show: (r) => (r.feature < 0 ? "–" : A.short(r.feature)),
  };
  const [main, slim, fixed2] = [kind.main, { slim: true }, (v) => fixed(v)];
  const [ofA, ofB] = [main.of(A), B ? main.of(B) : null];
  if (!B) {
    const one = (name, label, show, more) => ({
      name,
      label,
      key: (r) => A[name][r.a],
      show: (r) => show(A[name][r.a], r),
      ...more,
    });
    return [
      { name: "latent", label: unit, key: (r) => A.index[r.a], first: true, show: (r) => a(r.a) },
      feature,
      ...(A.written ? [one("written", "writes", (v) => (v < 0 ? "–" : String(v)), { first: true })] : []),
      { name: main.name, label: main.label, key: (r) => ofA(r.a), show: (r) => bar(ofA(r.a), "a") },
      ...(A.shares ? [shareOf(A)] : [one("precision", "precision", fixed2, slim)]),
      ...(A.shares || A.alone
        ? []
        : [A.manifolds ? one("recall", "tile", percent, slim) : one("recall", "recall", fixed2, slim)]),
      one("frequency", "density", (v) => percent(v)),
      ...(A.alone
        ? []
        : [{ name: "activations", label: "activations", show: (r) => sparkline(A.histogram(r.a)), slim: true }]),
    ];
  }
  return [
    feature,
    { name: "latent", label: `${unit} A`, key: (r) => side(r.a, A, "index"), first: true, show: (r) => a(r.a) },
    { name: main.name, label: `${main.label} in A`, key: (r) => has(r.a, ofA), show: (r) => bar(has(r.a, ofA), "a") },
    { name: "b", label: `${main.label} in B`, key: (r) => has(r.b, ofB), show: (r) => bar(has(r.b, ofB), "b") },
    { name: "other", label: `${unit} B`, key: (r) => side(r.b, B, "index"), first: true, show: (r) => b(r.b) },
    {
      name: "gain",
      label: `${main.label}, B − A`,
      key: (r) => has(r.b, ofB) - has(r.a, ofA),
      show: (r) => signed(has(r.b, ofB) - has(r.a, ofA)),
      slim: true,
    },
    { name: "cosine", label: "cosine", key: (r) => r.cosine, show: (r) => fixed(r.cosine), slim: true },
  ];
}

function signed(value) {
  const text = fixed(value);
  return value > 0 && text !== "0.00" ? `+${text}` : text;
}

/** The table with its search field and sorts. `onpick(latent of A, latent of B)`. */
export function createLatents({ state, unit, onpick }) {
  const search = el("input", {
    type: "search",
    placeholder: "feature 7, dead, f1 < 0.5 …",
    "aria-label": `search ${unit}s`,
    oninput: () => state.set({ q: search.value }),
  });
  const chips = el("div", { class: "chips", role: "group", "aria-label": `sorts of ${unit}s` });
  const how = el("div", { class: "chips", role: "group", "aria-label": `how ${unit}s are paired` });
  const head = el("tr", {});
  const body = el("tbody", {});
  const count = el("p", { class: "note", role: "status" });
  const table = el("table", { class: "latents" }, el("thead", {}, head), body);
  const box = el("div", { class: "scroll" }, table);
  const sum = el("p", { class: "words" });
  const node = el("div", {}, sum, el("div", { class: "finding" }, search, chips), how, box, count);
  let [built, rows, columns, every] = ["", [], [], []];

  const sides = (r, A, B) =>
    B
      ? [
          [A, r.a],
          [B, r.b],
        ]
      : [[A, r.a]];
  const chip = (text, pressed, onclick) =>
    el("button", { type: "button", "aria-pressed": String(pressed), onclick }, text);

  function build(A, B, s) {
    every = pairs(A, B, s.match);
    sum.hidden = !B;
    sum.textContent = B ? KINDS[A.kind].tally(A, B) : "";
    const sortOf = (r) => (r.a >= 0 ? A.sort(r.a) : B.sort(r.b));
    const counts = {};
    for (const r of every) counts[sortOf(r)] = (counts[sortOf(r)] ?? 0) + 1;
    columns = columnsOf(A, B);
    const column = columns.find(({ name, key }) => name === s.sort && key) ?? columns[0];
    const found = every.filter((r) => (!s.kind || sortOf(r) === s.kind) && matches(r, sides(r, A, B), s.q));
    rows = ordered(found, column.key, s.up);
    chips.replaceChildren(
      ...(B ? [el("span", {}, `${unit}s of A:`)] : []),
      chip(`all ${every.length}`, !s.kind, () => state.set({ kind: "" })),
      ...Object.entries(KINDS[A.kind].sorts(A.shares?.(0).length ?? 0))
        .filter(([kind]) => counts[kind])
        .map(([kind, words]) =>
          chip(`${words} ${counts[kind]}`, s.kind === kind, () => state.set({ kind: s.kind === kind ? "" : kind })),
        ),
    );
    how.hidden = !B;
    const same = B && A.truth === B.truth;
    const by = A.manifolds ? "their manifold" : "the feature they find";
    how.replaceChildren(
      ...(B
        ? [
            el("span", {}, `pair ${unit}s by`),
            chip(by, s.match !== "cosine" || !same, () => state.set({ match: "feature" })),
            ...(same
              ? [chip("the cosine of their directions", s.match === "cosine", () => state.set({ match: "cosine" }))]
              : [el("small", {}, "(they read different hidden layers, so directions cannot be compared)")]),
          ]
        : []),
    );
    head.replaceChildren(
      ...columns.map((c) => {
        const sorted = c === column;
        const text = c.key
          ? el(
              "button",
              { type: "button", onclick: () => state.set({ sort: c.name, up: sorted ? !s.up : Boolean(c.first) }) },
              c.label,
              el("span", { "aria-hidden": "true" }, sorted ? (s.up ? " ▲" : " ▼") : ""),
            )
          : c.label;
        return el(
          "th",
          {
            scope: "col",
            class: c.slim ? "slim" : null,
            "aria-sort": sorted ? (s.up ? "ascending" : "descending") : null,
          },
          text,
        );
      }),
    );
    body.replaceChildren(
      ...rows.map((r, k) => {
        const ofA = r.a < 0 ? `no ${unit} of A` : `${unit} ${A.name(A.index[r.a])}`;
        const ofB = r.b < 0 ? `no ${unit} of B` : `${unit} ${B?.name(B.index[r.b])} of B`;
        const said = `${r.feature < 0 ? "no feature" : A.called(r.feature)}, ${ofA}${B ? `, ${ofB}` : ""}`;
        const cells = columns.map((c, j) =>
          el(
            j ? "td" : "th",
            { class: c.slim ? "slim" : null, scope: j ? null : "row" },
            j
              ? c.show(r)
              : el("button", { type: "button", class: "plain", "data-row": k, "aria-label": said }, c.show(r)),
          ),
        );
        return el("tr", { "data-row": k, class: sortOf(r) }, ...cells);
      }),
    );
    const all = rows.length === every.length;
    const what = B ? "pairs" : `${unit}s`;
    const missing = A.leftOut + (B?.leftOut ?? 0);
    count.textContent = rows.length
      ? `${all ? "" : `${rows.length} of `}${every.length} ${what}` +
        `${missing ? `; ${missing} rarer ${unit}s are not on this page` : ""}.`
      : `No ${what} match. Try a number, “dead”, or “density > 1 %”.`;
  }
  function pick(k, A, B, focus) {
    const r = rows[k];
    if (!r) return;
    onpick(r.a < 0 ? -1 : A.index[r.a], r.b < 0 || !B ? -1 : B.index[r.b]);
    if (focus) body.querySelector(`button[data-row="${k}"]`).focus();
  }
  let shown = [null, null];
  body.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) pick(Number(row.dataset.row), ...shown, false);
  });
  body.addEventListener("keydown", (event) => {
    const at = Number(event.target.dataset?.row ?? Number.NaN);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !Number.isInteger(at)) return;
    event.preventDefault();
    pick(Math.min(rows.length - 1, Math.max(0, to)), ...shown, true);
  });
  return {
    node,
    /** First row of the table as it stands: [latent of A, latent of B]. */
    first: () =>
      rows.length
        ? [rows[0].a < 0 ? -1 : shown[0].index[rows[0].a], rows[0].b < 0 || !shown[1] ? -1 : shown[1].index[rows[0].b]]
        : null,
    /** The latent of the other side in the row where one stands. */
    partner: (latent, which) => {
      const at = shown[which]?.rowOf.get(latent) ?? -1;
      const r = every.find((one) => (which ? one.b : one.a) === at);
      const other = r ? (which ? r.a : r.b) : -1;
      return other < 0 ? -1 : shown[1 - which].index[other];
    },
    show(A, B, s) {
      if (search.value !== s.q) search.value = s.q;
      const key = JSON.stringify([A.cell, B?.cell ?? -1, s.q, s.kind, s.sort, s.up, s.match]);
      shown = [A, B];
      if (key !== built) {
        const focused = document.activeElement;
        const header = head.contains(focused) ? [...head.children].findIndex((th) => th.contains(focused)) : -1;
        const pressed = chips.contains(focused)
          ? [...chips.children].indexOf(focused)
          : how.contains(focused)
            ? -2 - [...how.children].indexOf(focused)
            : -1;
        build(A, B, s);
        built = key;
        if (header >= 0) head.children[header]?.querySelector("button")?.focus();
        if (pressed >= 0) chips.children[pressed]?.focus();
        if (pressed < -1) how.children[-2 - pressed]?.focus();
      }
      for (const row of body.children) {
        const r = rows[Number(row.dataset.row)];
        const chosen =
          (r.a >= 0 ? A.index[r.a] === s.latent : s.latent < 0) &&
          (!B || (r.b >= 0 ? B.index[r.b] === s.other : s.other < 0));
        row.classList.toggle("chosen", chosen);
        const button = row.querySelector("button");
        button.setAttribute("aria-pressed", String(chosen));
        button.tabIndex = chosen ? 0 : -1;
        if (chosen) {
          const [top, height] = [row.offsetTop, row.offsetHeight];
          if (top < box.scrollTop + 40 || top + height > box.scrollTop + box.clientHeight)
            box.scrollTop = Math.max(0, top - box.clientHeight / 2);
        }
      }
      if (!body.querySelector("tr.chosen"))
        for (const button of body.querySelectorAll("tr:first-child button")) button.tabIndex = 0;
    },
  };
}
