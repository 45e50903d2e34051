// Elements. Text only ever enters the page as text nodes.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** An HTML element; attributes called on… are listeners. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A label around a control. */
export function labelled(text, control) {
  return el("label", { class: "field" }, el("span", { class: "field-name" }, text), control);
}

/** A choice among [value, text] pairs. */
export function select(pairs, value, onpick, name) {
  const options = pairs.map(([v, text]) =>
    el("option", { value: v, selected: String(v) === String(value) }, short(text)),
  );
  return el("select", { onchange: (event) => onpick(event.target.value), "aria-label": name }, ...options);
}

/** Names come from files and may be of any length. */
export function short(text, most = 60) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** A number as a person writes it. */
export function say(value, digits = 3) {
  if (typeof value === "string") return short(value);
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(digits)));
}

/** A number with so many decimals, for columns. */
export function fixed(value, decimals = 2) {
  return Number.isFinite(value)
    ? value
        .toFixed(decimals)
        .replace(/^-(?=0\.?0*$)/, "")
        .replace("-", "−")
    : "–";
}

/** A canvas as large as its place, in device pixels; returns its context in CSS pixels. */
export function fit(canvas, width, height) {
  const ratio = globalThis.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Whether the reader's system lets things move. */
export const motionAllowed = () => !globalThis.matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Size in CSS pixels of text that is `rem` times as large as the page's own. */
export const textSize = (rem) => rem * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
