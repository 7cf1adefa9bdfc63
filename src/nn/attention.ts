import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attention } from "../kernels/attention.ts";
import { GroupNorm } from "./group_norm.ts";
import { Linear } from "./linear.ts";
import type { Weights } from "./weights.ts";

export interface AttentionConfig {
  readonly channels: number;
  /** Channels of the context that keys and values come from; `channels` for self-attention. */
  readonly contextChannels: number;
  readonly heads: number;
  /** Whether to_q, to_k and to_v have a bias; default false. */
  readonly bias?: boolean;
}

/** diffusers' Attention: to_q, to_k, to_v, softmax attention, to_out.0. */
export class Attention {
  readonly to_q: Linear;
  readonly to_k: Linear;
  readonly to_v: Linear;
  readonly to_out: Linear;
  readonly #heads: number;
  readonly #label: string;

  constructor(w: Weights, config: AttentionConfig) {
    const { channels, contextChannels, heads, bias = false } = config;
    this.to_q = new Linear(w.at("to_q"), { in: channels, out: channels, bias });
    this.to_k = new Linear(w.at("to_k"), { in: contextChannels, out: channels, bias });
    this.to_v = new Linear(w.at("to_v"), { in: contextChannels, out: channels, bias });
    this.to_out = new Linear(w.at("to_out").at(0), { in: channels, out: channels });
    this.#heads = heads;
    this.#label = w.label;
  }

  /**
   * x [N, L, C], context [N or 1, S, D] (x itself for self-attention) → [N, L, C], plus `residual` if given. A context
   * other than x is taken for constant: its keys and values are computed once, when the plan is finished.
   */
  forward(rec: Recorder, x: Tensor, context: Tensor, residual?: Tensor): Tensor {
    const q = this.to_q.forward(rec, x);
    const keysAndValues = () => [this.to_k.forward(rec, context), this.to_v.forward(rec, context)] as const;
    const [k, v] = context === x ? keysAndValues() : rec.once(keysAndValues);
    const attended = attention(rec, q, k, v, { heads: this.#heads, label: this.#label });
    return this.to_out.forward(rec, attended, { residual });
  }
}

/** The VAE's mid-block attention: group norm, single-head self-attention over all pixels, plus its input. */
export class PixelAttention {
  readonly group_norm: GroupNorm;
  readonly attention: Attention;

  constructor(
    w: Weights,
    config: { readonly channels: number; readonly groups: number; readonly eps: number },
  ) {
    const { channels } = config;
    this.group_norm = new GroupNorm(w.at("group_norm"), config);
    this.attention = new Attention(w, { channels, contextChannels: channels, heads: 1, bias: true });
  }

  /** x [N, H, W, C] → same shape. */
  forward(rec: Recorder, x: Tensor): Tensor {
    const tokens = x.reshape([x.size(0), x.size(1) * x.size(2), x.size(3)]);
    const h = this.group_norm.forward(rec, tokens);
    return this.attention.forward(rec, h, h, tokens).reshape(x.shape);
  }
}
