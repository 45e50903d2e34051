// What is being looked at: one flat record, which the link holds, and those who want to know when it changes.

/** Text of the part of a link after #, without what is at its default. */
export function toLink(state, defaults) {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (name in defaults && value !== defaults[name]) said.set(name, String(value));
  }
  return said.toString();
}

/** A state from such text: known names only, each of the type of its default. */
export function fromLink(text, defaults) {
  const state = { ...defaults };
  for (const [name, value] of new URLSearchParams(text)) {
    if (!Object.hasOwn(defaults, name)) continue;
    const kind = typeof defaults[name];
    if (kind === "number" && value !== "" && Number.isFinite(Number(value))) state[name] = Number(value);
    else if (kind === "boolean") state[name] = value === "true";
    else if (kind === "string") state[name] = value.slice(0, 20000);
  }
  return state;
}

/**
 * A store of the state. `set` merges changes and tells everyone who listens, once a frame and with the names that
 * changed. With `link` the address of the page follows, a little later (browsers limit how often it may change).
 */
export function createState(defaults, { link = true } = {}) {
  const read = () => (link ? fromLink(location.hash.slice(1), defaults) : { ...defaults });
  const store = { ...read() };
  const listeners = [];
  let changed = new Set();
  let timer = 0;
  const notify = () => {
    const names = changed;
    changed = new Set();
    for (const listen of listeners) listen(store, names);
  };
  const write = () => {
    const text = toLink(store, defaults);
    if (text !== location.hash.slice(1)) history.replaceState(null, "", `#${text}`);
  };
  const set = (patch) => {
    for (const [name, value] of Object.entries(patch)) {
      if (store[name] === value) continue;
      store[name] = value;
      if (!changed.size) requestAnimationFrame(notify);
      changed.add(name);
    }
    if (link && changed.size) {
      clearTimeout(timer);
      timer = setTimeout(write, 200);
    }
  };
  if (link) globalThis.addEventListener("hashchange", () => set(read()));
  return { get: () => store, set, listen: (listener) => listeners.push(listener), link: () => toLink(store, defaults) };
}
