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

/** Colours of shapes from the page's data; black becomes light on dark paper. */
export function shapeColors(colors) {
  return (shape, dark) => {
    if (shape === "diverged" || shape === "missing") return dark ? "#3a3f47" : "#e4e2dd";
    const color = Object.hasOwn(colors.shapes, shape) ? colors.shapes[shape] : colors.other;
    return dark && color === "#000000" ? "#f2f2f2" : color;
  };
}

/** Whether the page is dark: as its reader chose, or as their system says. */
export function isDark(root) {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
