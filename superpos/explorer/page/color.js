// Colours: shapes have the lab's, numbers a ramp that any colour vision reads, features steps of the same ramp.

// Viridis at 0, 1/8, …, 1.
const RAMP = [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128], [94, 201, 98], [173, 220, 48], [253, 231, 37]];

/** A colour of the ramp for t in [0, 1]; grey for no number. */
export function ramp(t) {
  if (!Number.isFinite(t)) return "#8884";
  const x = Math.min(Math.max(t, 0), 1) * (RAMP.length - 1);
  const at = Math.min(Math.floor(x), RAMP.length - 2);
  const mixed = RAMP[at].map((a, d) => Math.round(a + (x - at) * (RAMP[at + 1][d] - a)));
  return `rgb(${mixed.join(",")})`;
}

/** Negative blue, zero the paper, positive vermilion, as in the lab's figures: red, green and blue. */
export function divergingParts(t, dark) {
  const end = t < 0 ? (dark ? [86, 180, 233] : [0, 114, 178]) : dark ? [240, 120, 40] : [213, 94, 0];
  const zero = dark ? [32, 36, 43] : [255, 255, 255];
  const share = Math.min(Math.abs(t), 1);
  return zero.map((a, d) => Math.round(a + share * (end[d] - a)));
}

/** The same as a CSS colour. */
export function diverging(t, dark) {
  return `rgb(${divergingParts(t, dark).join(",")})`;
}

/** A colour of the lab's figures on dark paper: lighter, and black becomes light. */
export function onDark(hex) {
  if (hex === "#000000") return "#f2f2f2";
  const mixed = [1, 3, 5].map((k) => Number.parseInt(hex.slice(k, k + 2), 16)).map((v) => Math.round(v + 0.3 * (255 - v)));
  return `rgb(${mixed.join(",")})`;
}

/** The colour of feature i of n, away from the end of the ramp that the paper swallows. */
export function featureColor(i, n, dark) {
  const t = n > 1 ? i / (n - 1) : 0.3;
  return ramp(dark ? 0.3 + 0.7 * t : 0.85 * t);
}

/**
 * Fill and marks of a shape or a sum of shapes, by the rule of `superpos/plot/shape_colors.py`, whose table is `rule`: the fill
 * is that of the largest shape, and one mark stands for each of the others.
 */
export function shapeLook(rule, shape) {
  if (Object.hasOwn(rule.words, shape)) return { fill: rule.words[shape][0], marks: rule.words[shape][1] };
  const parts = shape.split(" + ").map((word) => partOf(rule, word));
  const main = parts.reduce((largest, part) => (part.features > largest.features ? part : largest));
  const { star, dot, bar } = rule.marks;
  const counts = new Map();
  const add = (mark, n) => counts.set(mark, (counts.get(mark) ?? 0) + n);
  for (const part of parts) {
    if (part.group) {
      add(star, part.copies * Math.floor(part.group[0] / rule.five));
      add(dot, part.copies * (part.group[0] % rule.five));
      add(bar, part.copies * part.group[1]);
    } else add(part.mark, part.copies - (part === main ? 1 : 0));
  }
  add(star, main.stars);
  const marks = [...counts].filter(([, n]) => n > 0).sort(([a], [b]) => (a < b ? -1 : 1));
  return { fill: main.fill, marks: marks.map(([mark, n]) => [mark, Math.min(n, rule.most)]) };
}

/** One summand of a name: "2 × antipodal pair", "irregular (4 features, 2 dimensions)". */
function partOf(rule, word) {
  const [, times, name] = /^(?:(\d+) × )?(.+)$/s.exec(word) ?? [word, undefined, word];
  const group = /^irregular \((\d+) features?, (\d+) dimensions?\)$/.exec(name)?.slice(1).map(Number);
  const known = group ? rule.irregular : name;
  const [fill, features, mark, stars] = Object.hasOwn(rule.kinds, known) ? rule.kinds[known] : rule.other;
  const copies = times ? Number(times) : 1;
  return { fill, features: group?.[0] ?? features, mark, stars: group ? 0 : stars, copies, group: group && [Math.max(group[0] - group[1], 0), group[1]] };
}

const TILE = 18; // width of the square that a texture repeats, in CSS pixels
const SHARPER = 2; // pixels of a tile per CSS pixel

/** Draw marks on a tile; lines go on at its edges. */
function drawMarks(pen, marks) {
  for (const [mark, n] of marks) {
    const gap = TILE / (n + 1);
    const middles = Array.from({ length: n + 1 }, (_, k) => (k + 0.5) * gap);
    const diagonals = Array.from({ length: 2 * n + 2 }, (_, k) => (k + 0.5) * gap);
    const line = (x0, y0, x1, y1) => {
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.lineTo(x1, y1);
      pen.stroke();
    };
    const each = (draw) => {
      for (const x of middles) for (const y of middles) draw(x, y, Math.min(gap * 0.32, 2.6));
    };
    const circle = (x, y, r) => {
      pen.beginPath();
      pen.arc(x, y, r, 0, 2 * Math.PI);
    };
    if ("|+".includes(mark)) for (const x of middles) line(x, 0, x, TILE);
    if ("-+".includes(mark)) for (const y of middles) line(0, y, TILE, y);
    if ("/x".includes(mark)) for (const at of diagonals) line(at, 0, at - TILE, TILE);
    if ("\\x".includes(mark)) for (const at of diagonals) line(at - TILE, 0, at, TILE);
    if ("oO".includes(mark)) each((x, y, r) => { circle(x, y, mark === "O" ? r : 0.6 * r); pen.stroke(); });
    if (mark === ".") each((x, y, r) => { circle(x + gap / 2, y + gap / 2, 0.5 * r); pen.fill(); });
    if (mark === "*") each((x, y, r) => {
      for (let k = 0; k < 3; k++) {
        const [dx, dy] = [r * Math.cos((k * Math.PI) / 3), r * Math.sin((k * Math.PI) / 3)];
        line(x - dx, y - dy, x + dx, y + dy);
      }
    });
  }
}

const parts = (hex) => [1, 3, 5].map((k) => Number.parseInt(hex.slice(k, k + 2), 16));
const luma = ([red, green, blue]) => 0.299 * red + 0.587 * green + 0.114 * blue;

/** The fill of a look on light or dark paper: what dark paper would swallow becomes light, and what is pale there dark. */
function fillOn({ fill }, dark) {
  if (!dark) return fill;
  if (fill === "#000000") return "#f2f2f2";
  const light = luma(parts(fill));
  if (light > 225 && new Set(parts(fill)).size === 1) return "#3a3f47";
  if (light > 75) return fill;
  return `#${parts(fill).map((v) => Math.round(v + 0.4 * (255 - v)).toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Colours of shapes by the rule in the page's data: `colorOf(shape, dark)` is the fill, `colorOf.paint(shape, dark)` what a
 * canvas is filled with, texture and all, and `colorOf.css(shape, dark)` the same as a CSS background.
 */
export function shapeColors(rule) {
  const tiles = new Map();
  function tile(shape, dark) {
    const key = `${dark} ${shape}`;
    if (!tiles.has(key)) {
      const look = shapeLook(rule, shape);
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = TILE * SHARPER;
      const pen = canvas.getContext("2d");
      const fill = fillOn(look, dark);
      pen.scale(SHARPER, SHARPER);
      pen.fillStyle = fill;
      pen.fillRect(0, 0, TILE, TILE);
      const toward = luma(parts(fill)) > 100 ? 0 : 255;
      pen.fillStyle = pen.strokeStyle = `rgb(${parts(fill).map((v) => Math.round(0.35 * v + 0.65 * toward)).join()})`;
      pen.lineWidth = 1.1;
      drawMarks(pen, look.marks);
      tiles.set(key, { fill, canvas, plain: !look.marks.length });
    }
    return tiles.get(key);
  }
  const colorOf = (shape, dark) => fillOn(shapeLook(rule, shape), dark);
  colorOf.paint = (shape, dark) => {
    const found = tile(shape, dark);
    if (found.plain) return found.fill;
    found.pattern ??= found.canvas.getContext("2d").createPattern(found.canvas, "repeat");
    found.pattern.setTransform(new DOMMatrix().scale(1 / SHARPER));
    return found.pattern;
  };
  colorOf.css = (shape, dark) => {
    const found = tile(shape, dark);
    if (found.plain) return found.fill;
    found.url ??= `url(${found.canvas.toDataURL()}) center / ${TILE}px`;
    return found.url;
  };
  return colorOf;
}

/** Whether the page is dark: as its reader chose, or as their system says. */
export function isDark(root) {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
