// A picture in space that turns under the mouse and the arrow keys.

const steep = (pitch) => Math.min(1.5, Math.max(-1.5, pitch));

/** Points (x, y, depth) of the columns of `at`, (d, n), looked at from yaw and pitch; in units of weights. */
export function place({ d, at }, n, yaw, pitch) {
  if (d <= 2) return Array.from({ length: n }, (_, i) => [at[i], d === 2 ? at[n + i] : 0, 0]);
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return Array.from({ length: n }, (_, i) => {
    const [x, y, z] = [at[i], at[n + i], at[2 * n + i]];
    const [a, b] = [cy * x - sy * y, sy * x + cy * y];
    return [a, cp * z - sp * b, cp * b + sp * z];
  });
}

/** Let `image` be turned where `isSolid()`; `onmove(turn)` while it moves, `onturn(yaw, pitch)` where it rests. */
export function makeTurnable(image, { isSolid, turn, onmove, onturn }) {
  let from = null;
  let now = null;
  image.addEventListener("pointerdown", (event) => {
    if (!isSolid()) return;
    from = [event.clientX, event.clientY, ...turn()];
    now = null;
  });
  image.addEventListener("pointermove", (event) => {
    if (!from) return;
    image.setPointerCapture(event.pointerId); // not before: a click belongs to what is clicked
    now = [from[2] + (event.clientX - from[0]) * 0.01, steep(from[3] + (event.clientY - from[1]) * 0.01)];
    onmove(now);
  });
  const rest = () => {
    const [was, end] = [from, now];
    from = null;
    if (was && end !== null) onturn(...end);
  };
  image.addEventListener("pointerup", rest);
  image.addEventListener("pointercancel", rest);
  image.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (!step || !isSolid()) return;
    event.preventDefault();
    const [yaw, pitch] = turn();
    onturn(yaw + step[0], steep(pitch + step[1]));
  });
  return { turning: () => from !== null };
}
