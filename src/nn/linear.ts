import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { conv2d } from "../kernels/conv2d.ts";
import type { Conv2dFusion } from "./conv2d.ts";
import { matrixPacking } from "./matrix_packing.ts";
import type { Weights } from "./weights.ts";

export interface LinearConfig {
  readonly in: number;
  readonly out: number;
  /** Default true. */
  readonly bias?: boolean;
}

/** torch.nn.Linear: `weight` [O, C] and `bias` [O]. A 1×1 convolution of tokens seen as rows of one pixel. */
export class Linear {
  readonly #weight: Tensor;
  readonly #bias: Tensor | undefined;
  readonly #label: string;

  constructor(w: Weights, config: LinearConfig) {
    const shape = [config.out, config.in];
    this.#weight = w.parameter("weight", shape, matrixPacking(shape));
    this.#bias = config.bias ?? true ? w.vector("bias", config.out) : undefined;
    this.#label = w.label;
  }

  /** x [N, L, C] → [N, L, O]; `residual` and `accumulate` are [N, L, O]. */
  forward(rec: Recorder, x: Tensor, fusion: Omit<Conv2dFusion, "resize" | "channelAdd"> = {}): Tensor {
    const { residual, accumulate, ...rest } = fusion;
    const y = conv2d(rec, asRows(x), {
      ...rest,
      weight: this.#weight,
      bias: this.#bias,
      kernel: [1, 1],
      residual: residual && asRows(residual),
      accumulate: accumulate && asRows(accumulate),
      label: this.#label,
    });
    return y.reshape([y.size(0), y.size(1), y.size(3)]);
  }
}

function asRows(x: Tensor): Tensor {
  return x.reshape([x.size(0), x.size(1), 1, x.size(2)]);
}
