// The same page of modular arithmetic inside a notebook (anywidget).

import { start } from "./modular.js";
import { hostTheme } from "./page_frame.js";

/** Called by anywidget for every view of the widget. */
export function render({ model, el }) {
  const root = document.createElement("div");
  el.append(root);
  start(root, model.get("data"), { link: false, theme: hostTheme() });
}
