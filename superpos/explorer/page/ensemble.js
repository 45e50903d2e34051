// Several models trained side by side from different starts, a slice of steps at a time.

import { Trainer } from "./toy.js";

/** Slices: most steps and milliseconds of work in one, and the rest after it. */
export const PACES = {
  full: { steps: 40, work: 24, rest: 4 },
  slow: { steps: 4, work: 24, rest: 40 },
  slowest: { steps: 1, work: 24, rest: 120 },
};

/** Trains, and hands its state to `post` after every slice. Runs in a worker; where there is none, in the page. */
export class Ensemble {
  constructor(post) {
    this.post = post;
    this.timer = 0;
    this.trainers = [];
    this.pace = PACES.full;
    this.paused = false;
  }

  /**
   * { start: settings, seed, count }, { change: settings }, { pause: yes or no }, { step: count }, { pace } or { stop
   * }.
   */
  onMessage(message) {
    if (message.pace) this.pace = PACES[message.pace] ?? PACES.full;
    if (message.start) {
      this.run = message.run;
      this.paused = message.paused ?? false;
      this.trainers = Array.from(
        { length: message.count },
        (_, k) => new Trainer(message.start, message.seed + 7919 * k),
      );
      this.slice(this.paused ? 0 : undefined);
    } else if (message.change) {
      for (const trainer of this.trainers) {
        Object.assign(trainer.settings, message.change);
        if (trainer.done) trainer.again();
      }
      if (!this.paused) this.slice();
    } else if (message.pause !== undefined) {
      this.paused = message.pause;
      clearTimeout(this.timer);
      if (!this.paused) this.slice();
    } else if (message.step) {
      this.paused = true;
      this.slice(message.step);
    } else if (message.stop) {
      clearTimeout(this.timer);
    }
  }

  /** Train a slice of as many steps as the pace allows, or of exactly `count`. */
  slice(count) {
    clearTimeout(this.timer);
    if (!this.trainers.length) return;
    const begin = performance.now();
    const most = count ?? this.pace.steps;
    const until = count === undefined ? begin + this.pace.work : Number.POSITIVE_INFINITY;
    let steps = 0;
    while (!this.trainers[0].done && steps < most && performance.now() < until) {
      for (const trainer of this.trainers) trainer.step();
      steps += 1;
    }
    const done = this.trainers[0].done;
    const models = this.trainers.map(({ W, b, mean }) => ({ W: W.slice(), b: b.slice(), loss: mean }));
    this.post({
      run: this.run,
      step: this.trainers[0].updates,
      models,
      done,
      paused: this.paused,
      seconds: (performance.now() - begin) / 1000,
      steps: steps * models.length,
    });
    if (!done && !this.paused) this.timer = setTimeout(() => this.slice(), this.pace.rest);
  }
}
