// The worker of live training.

import { Crew } from "./crew.js";

const crew = new Crew((state) => postMessage(state));
globalThis.addEventListener("message", (event) => crew.hear(event.data));
