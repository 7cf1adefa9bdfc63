import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";

/** GPU work to queue between waits, in milliseconds. */
const WAIT_EVERY_MS = 300;
/** Pieces of a unit of work of which it is not yet known how long it takes. */
const FIRST_PIECES = 16;

/** A part of a unit of work: a plan to replay, or copies to encode. */
export type Step = Plan | ((encoder: GPUCommandEncoder) => void);

/**
 * Submits units of work and decides when to wait for the GPU. Each wait in Deno 2.9 costs about 11 ms and blocks the
 * thread, so short units are queued, as many as take about `WAIT_EVERY_MS`. Units that take longer are cut into
 * pieces with a wait after each: no signal is delivered while the thread is blocked, and drivers abort work that
 * takes seconds. The first unit is cut too, and waited for.
 */
export class Pacer {
  readonly #gpu: Gpu;
  readonly #wait: () => Promise<void>;
  #queued = 0;
  #perWait = 1;
  #unitMs = Infinity;
  #since = performance.now();

  /** `wait` is how to wait for all that was submitted at the end of units; by default `gpu.done()`. */
  constructor(gpu: Gpu, wait: () => Promise<void> = () => gpu.done()) {
    this.#gpu = gpu;
    this.#wait = wait;
  }

  /** Submits one unit of work; does not wait for its end. `what` says for messages what it is to do. */
  async submit(steps: readonly Step[], what: string): Promise<void> {
    const nodes = steps.reduce((sum, step) => sum + dispatches(step), 0);
    const pieces = this.#unitMs === Infinity ? FIRST_PIECES : Math.ceil(this.#unitMs / (2 * WAIT_EVERY_MS));
    const perPiece = Math.max(1, Math.ceil(nodes / pieces));
    const commands = steps.flatMap((step) => pieceCommands(step, perPiece));
    let queue: typeof commands = [], queuedNodes = 0;
    for (const [i, command] of commands.entries()) {
      queue.push(command);
      queuedNodes += command.nodes;
      if (queuedNodes < perPiece && i + 1 < commands.length) continue;
      const piece = queue;
      this.#gpu.submit((encoder) => piece.forEach(({ encode }) => encode(encoder)), what);
      queue = [];
      queuedNodes = 0;
      if (i + 1 === commands.length) break;
      await this.#gpu.done();
    }
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

interface Command {
  readonly nodes: number;
  readonly encode: (encoder: GPUCommandEncoder) => void;
}

function dispatches(step: Step): number {
  return typeof step === "function" ? 0 : step.nodes.length;
}

/** A step as commands of at most `perPiece` dispatches. */
function pieceCommands(step: Step, perPiece: number): Command[] {
  if (typeof step === "function") return [{ nodes: 0, encode: step }];
  const commands: Command[] = [];
  for (let from = 0; from < step.nodes.length; from += perPiece) {
    const to = Math.min(from + perPiece, step.nodes.length);
    commands.push({ nodes: to - from, encode: (encoder) => step.encode(encoder, from, to) });
  }
  return commands;
}
