import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activation.ts";
import { groupNorm, groupNormStats, type KnownNorm } from "../kernels/group_norm.ts";
import type { Weights } from "./weights.ts";

export interface GroupNormConfig {
  readonly channels: number;
  readonly groups: number;
  readonly eps: number;
}

/** torch.nn.GroupNorm with the activation that follows it. */
export class GroupNorm {
  readonly #weight: Tensor;
  readonly #bias: Tensor;
  readonly #config: GroupNormConfig;
  readonly #label: string;

  constructor(w: Weights, config: GroupNormConfig) {
    this.#weight = w.vector("weight", config.channels);
    this.#bias = w.vector("bias", config.channels);
    this.#config = config;
    this.#label = w.label;
  }

  /** x [N, H, W, C] or [N, L, C], or two of them that stand for their channel concatenation. */
  forward(rec: Recorder, x: Tensor | readonly [Tensor, Tensor], activation: Activation = "none"): Tensor {
    const { groups, eps } = this.#config;
    return groupNorm(rec, x, {
      groups,
      eps,
      weight: this.#weight,
      bias: this.#bias,
      activation,
      label: this.#label,
    });
  }
  /** Only the statistics, for a convolution that normalises its input as it reads it. */
  measure(rec: Recorder, x: Tensor | readonly [Tensor, Tensor], activation: Activation): KnownNorm {
    const { groups, eps } = this.#config;
    const stats = groupNormStats(rec, x, { groups, eps, weight: this.#weight, label: this.#label });
    return { stats, bias: this.#bias, activation };
  }
}
