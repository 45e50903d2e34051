// Several models trained side by side from different starts, a slice of steps at a time.

import { Trainer } from "./toy.js";

/** Trains, and hands its state to `post` after every slice. Runs in a worker; where there is none, in the page. */
export class Ensemble {
  constructor(post) {
    this.post = post;
    this.timer = 0;
    this.trainers = [];
  }

  /** { start: settings, seed, count }, { change: settings } or { stop: true }. */
  onMessage(message) {
    if (message.start) {
      this.run = message.run;
      this.trainers = Array.from({ length: message.count }, (_, k) => new Trainer(message.start, message.seed + 7919 * k));
      this.slice();
    } else if (message.change) {
      for (const trainer of this.trainers) {
        Object.assign(trainer.settings, message.change);
        if (trainer.done) trainer.again();
      }
      this.slice();
    } else if (message.stop) {
      clearTimeout(this.timer);
    }
  }

  slice() {
    clearTimeout(this.timer);
    const begin = performance.now();
    let steps = 0;
    while (!this.trainers[0].done && steps < 40 && performance.now() - begin < 24) {
      for (const trainer of this.trainers) trainer.step();
      steps += 1;
    }
    const done = this.trainers[0].done;
    const models = this.trainers.map(({ W, b, mean }) => ({ W: W.slice(), b: b.slice(), loss: mean }));
    this.post({ run: this.run, step: this.trainers[0].updates, models, done, seconds: (performance.now() - begin) / 1000, steps: steps * models.length });
    if (!done) this.timer = setTimeout(() => this.slice(), 4);
  }
}
