import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Conv2d } from "./conv2d.ts";
import { GroupNorm } from "./group_norm.ts";
import { Linear } from "./linear.ts";
import type { Weights } from "./weights.ts";

export interface ResnetBlockConfig {
  /** Input channels; two stand for the concatenation of a feature map and a skip connection. */
  readonly in: number | readonly [number, number];
  readonly out: number;
  /** Channels of the time embedding, or null for a block without (the VAE's). */
  readonly timeChannels: number | null;
  readonly groups: number;
  readonly eps: number;
}

/**
 * diffusers' ResnetBlock2D: norm → SiLU → 3×3 → + time → norm → SiLU → 3×3 → + input (through 1×1 where channels
 * change).
 */
export class ResnetBlock {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly time_emb_proj: Linear | null;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  readonly conv_shortcut: Conv2d | null;
  readonly #label: string;

  constructor(w: Weights, config: ResnetBlockConfig) {
    const { out, groups, eps, timeChannels } = config;
    const total = typeof config.in === "number" ? config.in : config.in[0] + config.in[1];
    this.norm1 = new GroupNorm(w.at("norm1"), { channels: total, groups, eps });
    this.conv1 = new Conv2d(w.at("conv1"), { in: total, out, kernel: 3, padding: 1 });
    this.time_emb_proj = timeChannels ? new Linear(w.at("time_emb_proj"), { in: timeChannels, out }) : null;
    this.norm2 = new GroupNorm(w.at("norm2"), { channels: out, groups, eps });
    this.conv2 = new Conv2d(w.at("conv2"), { in: out, out, kernel: 3, padding: 1 });
    this.conv_shortcut = total === out
      ? null
      : new Conv2d(w.at("conv_shortcut"), { in: config.in, out, kernel: 1 });
    this.#label = w.label;
  }

  /** x [N, H, W, C] or a pair standing for its concatenation; `time` = SiLU(time embedding), [N, 1, D]. */
  forward(rec: Recorder, x: Tensor | readonly [Tensor, Tensor], time: Tensor | null): Tensor {
    const shortcut = this.conv_shortcut ? this.conv_shortcut.forward(rec, x) : x as Tensor;
    const projected = time && rec.stepwise(() => this.time_emb_proj?.forward(rec, time));
    const channelAdd = projected ? projected.reshape([projected.size(0), projected.size(2)]) : undefined;
    let h = this.conv1.forward(rec, x, { norm: this.norm1.measure(rec, x, "silu"), channelAdd });
    h = this.conv2.forward(rec, h, { norm: this.norm2.measure(rec, h, "silu"), residual: shortcut });
    rec.tap(this.#label, h);
    return h;
  }
}
