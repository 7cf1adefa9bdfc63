import type { Recorder } from "../gpu/recorder.ts";
import { Tensor, vec4Count } from "../gpu/tensor.ts";
import { prefersTexture } from "../kernels/tuning.ts";
import type { Weights } from "./weights.ts";

/**
 * A tensor that is computed from weights alone. It is computed once and kept with the weights as long as these have
 * room for it (`Weights.adopt()`) and keep such tensors, else computed in every replay.
 */
export class DerivedWeight {
  readonly #w: Weights;
  readonly #shape: readonly number[];
  readonly #make: (rec: Recorder, tensor: Tensor) => void;
  readonly #inTexture: boolean;
  readonly #kept: Tensor | null;
  /** Whether the weights have room to keep it; how a layer computes may depend on this, not on what is kept. */
  readonly affordable: boolean;
  /** Whether the kept tensor has its values, or the recorder whose plan will compute them. */
  #made: boolean | Recorder = false;

  /** `make` records the dispatches that fill the tensor it is given. */
  constructor(w: Weights, shape: readonly number[], make: (rec: Recorder, tensor: Tensor) => void) {
    this.#inTexture = prefersTexture(w.gpu.facts, vec4Count(shape));
    const tensor = new Tensor(shape, `${w.label}.derived`, { inTexture: this.#inTexture });
    this.#w = w;
    this.#shape = shape;
    this.#make = make;
    this.affordable = w.adopt(tensor);
    this.#kept = this.affordable && w.keepDerived ? tensor : null;
  }

  /** The tensor, for use in what `rec` records. */
  tensor(rec: Recorder): Tensor {
    const kept = this.#kept;
    if (!kept) {
      const tensor = rec.tensor(this.#shape, `${this.#w.label}.derived`, { inTexture: this.#inTexture });
      this.#make(rec, tensor);
      return tensor;
    }
    if (this.#made !== true && this.#made !== rec) {
      this.#made = rec;
      rec.once(() => this.#make(rec, kept), () => this.#made = true);
    }
    return kept;
  }
}
