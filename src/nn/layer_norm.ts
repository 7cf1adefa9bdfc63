import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { layerNorm } from "../kernels/layer_norm.ts";
import type { Weights } from "./weights.ts";

/** torch.nn.LayerNorm over the last axis; eps 1e-5 unless given. */
export class LayerNorm {
  readonly #weight: Tensor;
  readonly #bias: Tensor;
  readonly #eps: number;
  readonly #label: string;

  constructor(w: Weights, channels: number, eps = 1e-5) {
    this.#weight = w.vector("weight", channels);
    this.#bias = w.vector("bias", channels);
    this.#eps = eps;
    this.#label = w.label;
  }

  /** x [N, L, C] → same shape. */
  forward(rec: Recorder, x: Tensor): Tensor {
    return layerNorm(rec, x, { eps: this.#eps, weight: this.#weight, bias: this.#bias, label: this.#label });
  }
}
