// The worker of live training.

import { Ensemble } from "./ensemble.js";

const ensemble = new Ensemble((state) => postMessage(state));
globalThis.addEventListener("message", (event) => ensemble.onMessage(event.data));
