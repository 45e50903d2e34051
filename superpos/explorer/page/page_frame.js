// What all pages share: heading, theme, and the link that holds the state.

import { el, short } from "./dom.js";

/** The theme of the notebook around a widget, where it tells: Jupyter's or VS Code's. */
export function hostTheme() {
  const { classList, dataset } = document.body;
  if (dataset.jpThemeLight) return dataset.jpThemeLight === "true" ? "light" : "dark";
  return classList.contains("vscode-dark") ? "dark" : classList.contains("vscode-light") ? "light" : "";
}

/** Heading and an empty `main` inside `root`. `state` has a field `theme`: "", "light" or "dark". */
export function createPageFrame(root, { title, caption, state, link, buttons = [] }) {
  root.classList.add("sx");
  const applyTheme = () => {
    const { theme: chosen } = state.get();
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen; // a link may say anything
    else delete root.dataset.theme;
    if (link) document.documentElement.dataset.theme = root.dataset.theme ?? "";
  };
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const copy = el(
    "button",
    {
      type: "button",
      onclick: async () => {
        const address = `${location.href.split("#")[0]}#${state.link()}`;
        try {
          await navigator.clipboard.writeText(address);
          copy.textContent = "Copied";
        } catch {
          history.replaceState(null, "", `#${state.link()}`);
          copy.textContent = "The address bar has it";
        }
        setTimeout(() => {
          copy.textContent = "Copy link";
        }, 1500);
      },
    },
    "Copy link",
  );
  const theme = el(
    "button",
    { type: "button", onclick: () => state.set({ theme: dark() ? "light" : "dark" }) },
    "Light / dark",
  );
  const main = el("main", {});
  root.replaceChildren(
    el(
      "header",
      {},
      el("div", {}, el("h1", {}, short(title, 200)), el("p", { class: "caption" }, short(caption, 600))),
      el("nav", {}, ...buttons, ...(link ? [copy] : []), theme),
    ),
    main,
  );
  applyTheme();
  state.listen(applyTheme);
  // Paper is white: canvases are drawn for it, too.
  globalThis.addEventListener("beforeprint", () => {
    root.dataset.theme = "light";
    globalThis.dispatchEvent(new Event("resize"));
  });
  globalThis.addEventListener("afterprint", () => {
    applyTheme();
    globalThis.dispatchEvent(new Event("resize"));
  });
  return { main };
}
