import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { gaussianNoise } from "../kernels/gaussian_noise.ts";
import { copyTensor } from "./frame_store.ts";

/** Where the random numbers of a job come from. */
export interface Noise {
  /**
   * Queues unit Gaussian values for one frame into `target` [1, h, w, C]: stream 0 is the initial latent, stream
   * s + 1 the noise of step s, and `FRAME_STREAM` that of the frame itself.
   */
  fill(target: Tensor, at: { readonly frame: number; readonly stream: number }): void;
}

/** Counter-based noise: the same (seed, frame, stream) gives the same values whatever was drawn before. */
export class PhiloxNoise implements Noise {
  readonly #gpu: Gpu;
  readonly #seed: number;
  readonly #counter: Tensor;
  readonly #output: Tensor;
  readonly #plan: Plan;

  private constructor(gpu: Gpu, seed: number, parts: { counter: Tensor; output: Tensor; plan: Plan }) {
    this.#gpu = gpu;
    this.#seed = seed;
    this.#counter = parts.counter;
    this.#output = parts.output;
    this.#plan = parts.plan;
  }

  /** `seed` is a non-negative safe integer. */
  static async create(gpu: Gpu, seed: number, shape: readonly number[]): Promise<PhiloxNoise> {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`Cannot use seed ${seed}: a non-negative integer up to 2^53 - 1 is wanted`);
    }
    const rec = new Recorder(gpu);
    const { counter, output } = recordNoise(rec, shape);
    gpu.allocate(counter);
    return new PhiloxNoise(gpu, seed, { counter, output, plan: await rec.finish([output]) });
  }

  fill(target: Tensor, { frame, stream }: { readonly frame: number; readonly stream: number }): void {
    const words = new Uint32Array([frame, stream, this.#seed % 2 ** 32, Math.floor(this.#seed / 2 ** 32)]);
    this.#gpu.writeRaw(this.#counter, words);
    this.#gpu.submit((encoder) => {
      this.#plan.encode(encoder);
      copyTensor(encoder, this.#output, target);
    }, `draw the noise of frame ${frame}`);
  }

  /** Frees its memory. */
  destroy(): void {
    this.#gpu.free(this.#counter);
    this.#plan.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** Records noise of `shape`; `counter` has no memory yet. */
export function recordNoise(rec: Recorder, shape: readonly number[]): { counter: Tensor; output: Tensor } {
  const counter = new Tensor([1, 4], "noise counter");
  return { counter, output: gaussianNoise(rec, { shape, counter, label: "noise" }) };
}
