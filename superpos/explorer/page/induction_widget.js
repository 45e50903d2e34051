// The same page of induction heads inside a notebook (anywidget).

import { start } from "./induction.js";
import { hostTheme } from "./page_frame.js";

/** Called by anywidget for every view of the widget. */
export function render({ model, el }) {
  const root = document.createElement("div");
  el.append(root);
  start(root, model.get("data"), { link: false, theme: hostTheme() });
}
