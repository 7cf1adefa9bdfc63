import type { RAFTConfig } from "../checkpoint/raft_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { concatChannels } from "../kernels/concat_channels.ts";
import { gruUpdate, multiply } from "../kernels/elementwise.ts";
import { Conv2d, type Conv2dConfig } from "../nn/conv2d.ts";
import type { Weights } from "../nn/weights.ts";

/** What changes from update to update. */
export interface RAFTState {
  /** [N, h, w, recurrent_block_hidden_state_size]. */
  readonly hidden: Tensor;
  /** [N, h, w, 2], x then y, in pixels of the features. */
  readonly flow: Tensor;
}

/** torchvision's UpdateBlock: one step of the iteration. */
export class UpdateBlock {
  readonly motion_encoder: MotionEncoder;
  readonly recurrent_block: readonly ConvGRU[];
  readonly flow_head: FlowHead;
  readonly #label: string;

  constructor(w: Weights, config: RAFTConfig) {
    const hidden = config.recurrent_block_hidden_state_size;
    const context = config.context_encoder_layers.at(-1)! - hidden;
    this.motion_encoder = new MotionEncoder(w.at("motion_encoder"), config);
    this.recurrent_block = config.recurrent_block_kernel_size.map((kernel, i) =>
      new ConvGRU(w.at("recurrent_block").at(`convgru${i + 1}`), {
        in: context + config.motion_encoder_out_channels,
        hidden,
        kernel,
      })
    );
    this.flow_head = new FlowHead(w.at("flow_head"), { in: hidden, hidden: config.flow_head_hidden_size });
    this.#label = w.label;
  }

  /** `context` is the context encoder's, `correlation` the look-up at `state.flow`. */
  forward(
    rec: Recorder,
    state: RAFTState,
    { context, correlation }: { readonly context: Tensor; readonly correlation: Tensor },
  ): RAFTState {
    const { flow } = state;
    const motion = this.motion_encoder.forward(rec, flow, correlation);
    const x = concatChannels(rec, [context, motion, flow], { label: this.#label });
    let { hidden } = state;
    for (const gru of this.recurrent_block) hidden = gru.forward(rec, hidden, x);
    return { hidden, flow: this.flow_head.forward(rec, hidden, flow) };
  }
}

/** torchvision's MotionEncoder, without the flow it appends to its output. */
class MotionEncoder {
  readonly convcorr1: Conv2d;
  readonly convcorr2: Conv2d | null;
  readonly convflow1: Conv2d;
  readonly convflow2: Conv2d;
  readonly conv: Conv2d;

  constructor(w: Weights, config: RAFTConfig) {
    const {
      motion_encoder_corr_layers: [corr1 = 0, corr2],
      motion_encoder_flow_layers: [flow1 = 0, flow2 = 0],
    } = config;
    const looked = config.corr_block_num_levels * (2 * config.corr_block_radius + 1) ** 2;
    this.convcorr1 = sameSize(w.at("convcorr1").at(0), { in: looked, out: corr1, kernel: 1 });
    this.convcorr2 = corr2 === undefined
      ? null
      : sameSize(w.at("convcorr2").at(0), { in: corr1, out: corr2, kernel: 3 });
    this.convflow1 = sameSize(w.at("convflow1").at(0), { in: 2, out: flow1, kernel: 7 });
    this.convflow2 = sameSize(w.at("convflow2").at(0), { in: flow1, out: flow2, kernel: 3 });
    this.conv = sameSize(w.at("conv").at(0), {
      in: [corr2 ?? corr1, flow2],
      out: config.motion_encoder_out_channels - 2,
      kernel: 3,
    });
  }

  forward(rec: Recorder, flow: Tensor, correlation: Tensor): Tensor {
    const relu = { activation: "relu" } as const;
    let seen = this.convcorr1.forward(rec, correlation, relu);
    if (this.convcorr2) seen = this.convcorr2.forward(rec, seen, relu);
    const moved = this.convflow2.forward(rec, this.convflow1.forward(rec, flow, relu), relu);
    return this.conv.forward(rec, [seen, moved], relu);
  }
}

/** torchvision's ConvGRU. */
class ConvGRU {
  readonly convz: Conv2d;
  readonly convr: Conv2d;
  readonly convq: Conv2d;
  readonly #label: string;

  constructor(
    w: Weights,
    config: { readonly in: number; readonly hidden: number; readonly kernel: readonly [number, number] },
  ) {
    const { hidden, kernel } = config;
    const conv = { in: [hidden, config.in], out: hidden, kernel };
    this.convz = sameSize(w.at("convz"), conv);
    this.convr = sameSize(w.at("convr"), conv);
    this.convq = sameSize(w.at("convq"), conv);
    this.#label = w.label;
  }

  forward(rec: Recorder, h: Tensor, x: Tensor): Tensor {
    const label = this.#label;
    const z = this.convz.forward(rec, [h, x], { activation: "sigmoid" });
    const r = this.convr.forward(rec, [h, x], { activation: "sigmoid" });
    const q = this.convq.forward(rec, [multiply(rec, r, h, { label }), x], { activation: "tanh" });
    return gruUpdate(rec, { h, z, q, label });
  }
}

/** torchvision's FlowHead; it returns the new flow, not the change. */
class FlowHead {
  readonly conv1: Conv2d;
  readonly conv2: Conv2d;

  constructor(w: Weights, config: { readonly in: number; readonly hidden: number }) {
    this.conv1 = sameSize(w.at("conv1"), { in: config.in, out: config.hidden, kernel: 3 });
    this.conv2 = sameSize(w.at("conv2"), { in: config.hidden, out: 2, kernel: 3 });
  }

  forward(rec: Recorder, hidden: Tensor, flow: Tensor): Tensor {
    const x = this.conv1.forward(rec, hidden, { activation: "relu" });
    return this.conv2.forward(rec, x, { residual: flow });
  }
}

/** torchvision's MaskPredictor: weights of the convex upsampling, before their softmax. */
export class MaskPredictor {
  readonly convrelu: Conv2d;
  readonly conv: Conv2d;

  constructor(w: Weights, config: RAFTConfig) {
    const { recurrent_block_hidden_state_size: hidden, mask_predictor_hidden_size: out } = config;
    this.convrelu = sameSize(w.at("convrelu").at(0), { in: hidden, out, kernel: 3 });
    this.conv = sameSize(w.at("conv"), { in: out, out: 9 * 8 * 8, kernel: 1 });
  }

  /** Hidden state [N, h, w, C] → [N, h, w, 576]. */
  forward(rec: Recorder, hidden: Tensor): Tensor {
    // RAFT is trained with this factor, which balances the gradients.
    return this.conv.forward(rec, this.convrelu.forward(rec, hidden, { activation: "relu" }), {
      scale: 0.25,
    });
  }
}

/** A convolution with an odd kernel whose output has the size of its input. */
function sameSize(w: Weights, config: Omit<Conv2dConfig, "stride" | "padding">): Conv2d {
  const { kernel } = config;
  const [height, width] = typeof kernel === "number" ? [kernel, kernel] as const : kernel;
  const top = (height - 1) / 2, left = (width - 1) / 2;
  return new Conv2d(w, { ...config, padding: { top, left, bottom: top, right: left } });
}
