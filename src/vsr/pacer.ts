import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";

/** GPU work to queue between waits, in milliseconds. */
const WAIT_EVERY_MS = 300;
/** The part of a unit of work that is tried first as long as it is not known how long it takes. */
const FIRST_PART = 1 / 16;

/** A part of a unit of work: a plan to replay, or copies to encode. */
export type Step = Plan | ((encoder: GPUCommandEncoder) => void);

/**
 * Submits units of work and decides when to wait for the GPU. Each wait in Deno 2.9 costs about 11 ms and blocks the
 * thread, so short units are queued, as many as take about `WAIT_EVERY_MS`. Units that take longer are cut into
 * pieces with a wait after each: no signal is delivered while the thread is blocked, and drivers abort work that
 * takes seconds. The first unit is cut too, into pieces that grow as long as they are short, and waited for.
 */
export class Pacer {
  readonly #gpu: Gpu;
  readonly #wait: () => Promise<void>;
  #queued = 0;
  #perWait = 1;
  #unitMs = Infinity;
  /** The wait for the piece before the last. */
  #caughtUp = Promise.resolve();
  #since = performance.now();

  /** `wait` is how to wait for all that was submitted at the end of units; by default `gpu.done()`. */
  constructor(gpu: Gpu, wait: () => Promise<void> = () => gpu.done()) {
    this.#gpu = gpu;
    this.#wait = wait;
  }

  /** Submits one unit of work; does not wait for its end. `what` says for messages what it is to do. */
  async submit(steps: readonly Step[], what: string): Promise<void> {
    const nodes = steps.reduce((sum, step) => sum + dispatches(step), 0);
    const isFirst = this.#unitMs === Infinity;
    const part = isFirst ? FIRST_PART : 1 / Math.max(1, Math.ceil(this.#unitMs / (2 * WAIT_EVERY_MS)));
    const least = Math.max(1, Math.ceil(part * nodes));
    let most = least, queued = 0, since = performance.now();
    let piece: ((encoder: GPUCommandEncoder) => void)[] = [];
    for (const step of steps) {
      if (typeof step === "function") {
        piece.push(step);
        continue;
      }
      let end = 0;
      while (end < step.nodes.length) {
        if (queued === most) {
          this.#submit(piece, what);
          await this.#catchUp();
          const now = performance.now();
          const inTime = Math.floor(most * WAIT_EVERY_MS / (now - since));
          if (isFirst) most = Math.max(least, Math.min(2 * most, inTime));
          [piece, queued, since] = [[], 0, now];
        }
        const from = end, to = Math.min(from + most - queued, step.nodes.length);
        piece.push((encoder) => step.encode(encoder, from, to));
        queued += to - from;
        end = to;
      }
    }
    this.#submit(piece, what);
  }

  #submit(piece: readonly ((encoder: GPUCommandEncoder) => void)[], what: string): void {
    this.#gpu.submit((encoder) => piece.forEach((encode) => encode(encoder)), what);
  }

  /**
   * Lets the GPU catch up but for one piece, and signals through. In Deno 2.9 `done()` blocks until the work is done
   * and then sleeps; the sleep is waited for when the next piece is done, so that the GPU need not wait for it.
   */
  async #catchUp(): Promise<void> {
    const before = this.#caughtUp;
    this.#caughtUp = this.#gpu.done();
    this.#caughtUp.catch(() => {}); // whoever waits next throws it
    await before;
  }

  /** To be called after each submitted unit; returns how many units are known to be finished by now. */
  async submitted(): Promise<number> {
    this.#queued++;
    if (this.#queued < this.#perWait) return 0;
    return await this.drain();
  }

  /** Waits for everything queued; returns how many units that were. */
  async drain(): Promise<number> {
    if (this.#queued === 0) return 0;
    await this.#wait();
    return this.settle(this.#queued);
  }

  /** Notes that `units` have been finished since the last wait, where the caller waited itself; returns `units`. */
  settle(units: number): number {
    const now = performance.now();
    this.#unitMs = (now - this.#since) / units;
    this.#perWait = Math.max(1, Math.min(2 * this.#perWait, Math.floor(WAIT_EVERY_MS / this.#unitMs)));
    this.#queued = 0;
    this.#since = now;
    return units;
  }
}

function dispatches(step: Step): number {
  return typeof step === "function" ? 0 : step.nodes.length;
}
