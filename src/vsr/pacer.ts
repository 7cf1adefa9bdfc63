import type { Gpu } from "../gpu/device.ts";

/** GPU work to queue between waits, in milliseconds. */
const WAIT_EVERY_MS = 300;

/**
 * Decides when to wait for the GPU. Each wait in Deno 2.9 costs about 11 ms and blocks the thread, so several units
 * of work are queued before one, as many as take about `WAIT_EVERY_MS`; the first units are waited for singly.
 */
export class Pacer {
  readonly #gpu: Gpu;
  #queued = 0;
  #perWait = 1;
  #since = performance.now();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** To be called after each submitted unit of work; returns how many units are known to be finished by now. */
  async submitted(): Promise<number> {
    this.#queued++;
    if (this.#queued < this.#perWait) return 0;
    return await this.drain();
  }

  /** Waits for everything queued; returns how many units that were. */
  async drain(): Promise<number> {
    const count = this.#queued;
    if (count === 0) return 0;
    await this.#gpu.done();
    const now = performance.now();
    const each = (now - this.#since) / count;
    this.#perWait = Math.max(1, Math.min(2 * this.#perWait, Math.floor(WAIT_EVERY_MS / each)));
    this.#queued = 0;
    this.#since = now;
    return count;
  }
}
