import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { geglu } from "../kernels/geglu.ts";
import { Attention } from "./attention.ts";
import { GroupNorm } from "./group_norm.ts";
import { LayerNorm } from "./layer_norm.ts";
import { Linear } from "./linear.ts";
import type { Weights } from "./weights.ts";

/** diffusers' FeedForward with GEGLU, four times as wide inside. */
export class FeedForward {
  readonly proj: Linear;
  readonly out: Linear;
  readonly #label: string;

  constructor(w: Weights, channels: number) {
    this.proj = new Linear(w.at("net.0.proj"), { in: channels, out: 8 * channels });
    this.out = new Linear(w.at("net.2"), { in: 4 * channels, out: channels });
    this.#label = w.label;
  }

  /** x [N, L, C] → same shape, plus `residual` if given. */
  forward(rec: Recorder, x: Tensor, residual?: Tensor): Tensor {
    const gated = geglu(rec, this.proj.forward(rec, x), { label: this.#label });
    return this.out.forward(rec, gated, { residual });
  }
}

export interface TransformerConfig {
  readonly channels: number;
  readonly contextChannels: number;
  readonly heads: number;
  readonly groups: number;
  /** The first attention looks at the text too, not at the picture itself. */
  readonly onlyCrossAttention: boolean;
}

/** diffusers' BasicTransformerBlock: two attentions and a feed-forward, each after a layer norm and added. */
export class TransformerBlock {
  readonly norm1: LayerNorm;
  readonly attn1: Attention;
  readonly norm2: LayerNorm;
  readonly attn2: Attention;
  readonly norm3: LayerNorm;
  readonly ff: FeedForward;
  readonly #onlyCrossAttention: boolean;

  constructor(w: Weights, config: TransformerConfig) {
    const { channels, contextChannels, heads, onlyCrossAttention } = config;
    const cross = { channels, contextChannels, heads };
    const self = { channels, contextChannels: channels, heads };
    this.norm1 = new LayerNorm(w.at("norm1"), channels);
    this.attn1 = new Attention(w.at("attn1"), onlyCrossAttention ? cross : self);
    this.norm2 = new LayerNorm(w.at("norm2"), channels);
    this.attn2 = new Attention(w.at("attn2"), cross);
    this.norm3 = new LayerNorm(w.at("norm3"), channels);
    this.ff = new FeedForward(w.at("ff"), channels);
    this.#onlyCrossAttention = onlyCrossAttention;
  }

  /** x [N, L, C], context [N or 1, S, D] → [N, L, C]. */
  forward(rec: Recorder, x: Tensor, context: Tensor): Tensor {
    let h = this.norm1.forward(rec, x);
    x = this.attn1.forward(rec, h, this.#onlyCrossAttention ? context : h, x);
    h = this.norm2.forward(rec, x);
    x = this.attn2.forward(rec, h, context, x);
    h = this.norm3.forward(rec, x);
    return this.ff.forward(rec, h, x);
  }
}

/** diffusers' Transformer2DModel with linear projections and one block. */
export class Transformer {
  readonly norm: GroupNorm;
  readonly proj_in: Linear;
  readonly transformer_blocks: readonly TransformerBlock[];
  readonly proj_out: Linear;
  readonly #label: string;

  constructor(w: Weights, config: TransformerConfig) {
    const { channels, groups } = config;
    this.norm = new GroupNorm(w.at("norm"), { channels, groups, eps: 1e-6 });
    this.proj_in = new Linear(w.at("proj_in"), { in: channels, out: channels });
    this.transformer_blocks = [new TransformerBlock(w.at("transformer_blocks").at(0), config)];
    this.proj_out = new Linear(w.at("proj_out"), { in: channels, out: channels });
    this.#label = w.label;
  }

  /** x [N, H, W, C], context [N or 1, S, D] → [N, H, W, C]. */
  forward(rec: Recorder, x: Tensor, context: Tensor): Tensor {
    const tokens = x.reshape([x.size(0), x.size(1) * x.size(2), x.size(3)]);
    let h = this.norm.forward(rec, tokens);
    rec.tap(`${this.#label}.norm`, h.reshape(x.shape));
    h = this.proj_in.forward(rec, h);
    rec.tap(`${this.#label}.proj_in`, h);
    for (const block of this.transformer_blocks) h = block.forward(rec, h, context);
    rec.tap(`${this.#label}.transformer_blocks.0`, h);
    return this.proj_out.forward(rec, h, { residual: tokens }).reshape(x.shape);
  }
}
