// Going through training: a slider over its snapshots, and a button that plays them.

import { el } from "./dom.js";

/** `onscrub(index)` of a snapshot, by hand or as it plays. */
export function createScrubber({ onscrub }) {
  const stepShown = el("output", {});
  const range = el("input", {
    type: "range",
    min: 0,
    max: 0,
    step: 1,
    "aria-label": "training step",
    oninput: () => {
      pause();
      onscrub(Number(range.value));
    },
  });
  const play = el("button", { type: "button", onclick: () => (timer ? pause() : begin()) }, "Play");
  const node = el("div", { class: "scrub" }, play, range, stepShown);
  let timer = 0;
  let count = 0;

  function pause() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }
  function begin() {
    if (count < 2) return;
    play.textContent = "Pause";
    let at = Number(range.value) >= count - 1 ? 0 : Number(range.value);
    onscrub(at);
    timer = setInterval(
      () => {
        at += 1;
        onscrub(Math.min(at, count - 1));
        if (at >= count - 1) pause();
      },
      Math.max(30, Math.min(600, 5000 / count)),
    );
  }
  return {
    node,
    pause,
    playing: () => timer !== 0,
    /** `steps` of the snapshots, and which of them is shown. */
    show(steps, at) {
      count = steps.length;
      node.hidden = count < 2;
      range.max = Math.max(0, count - 1);
      range.value = at;
      stepShown.textContent = count ? `step ${steps[at]?.toLocaleString("en") ?? ""}` : "";
      range.setAttribute("aria-valuetext", stepShown.textContent);
    },
  };
}
