// Predict first: a question before the picture is shown.

import { el, say } from "./dom.js";

/** A question over the picture. `asked(view)` says whether it covers the picture now. */
export function createPredict({ state, onanswer }) {
  const toggle = el(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      onclick: () => {
        state.set({ ask: !state.get().ask });
        given = new Map();
      },
    },
    "Predict first",
  );
  const question = el("p", { class: "question" });
  const choices = el("div", { class: "choices", role: "group", "aria-label": "your answer" });
  const cover = el("div", { class: "cover", hidden: true }, question, choices);
  const verdict = el("p", { class: "verdict", role: "status" });
  let given = new Map(); // answers, by question

  return {
    toggle,
    cover,
    verdict,
    covers: (key) => state.get().ask && !state.get().story && !given.has(key),
    show(view, key) {
      const ask = state.get().ask && !state.get().story;
      toggle.setAttribute("aria-pressed", String(ask));
      toggle.hidden = state.get().story > 0;
      const open = ask && !given.has(key);
      cover.hidden = !open;
      verdict.hidden = !ask || open;
      if (open) {
        const where = view.density === null ? "" : ` at density ${say(view.density, 2)}`;
        const text = `How many of the ${view.n} features will ${view.m} dimensions hold${where}?`;
        if (question.textContent === text && choices.childElementCount) return;
        question.textContent = text;
        const step = Math.max(1, Math.ceil(view.n / 12));
        const answers = Array.from({ length: Math.floor(view.n / step) + 1 }, (_, k) => k * step);
        choices.replaceChildren(
          ...answers.map((k) =>
            el(
              "button",
              {
                type: "button",
                onclick: () => {
                  given.set(key, k);
                  onanswer();
                },
              },
              String(k),
            ),
          ),
        );
      } else if (ask) {
        const said = given.get(key);
        const judged = said === view.represented ? " – right" : "";
        verdict.textContent = `You said ${said}; this model holds ${view.represented}${judged}.`;
      }
    },
  };
}
