import type { RAFTConfig } from "../checkpoint/raft_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { avgPool2d } from "../kernels/avg_pool2d.ts";
import { correlation, correlationVolume, correlationVolumeBytes } from "../kernels/correlation.ts";
import { prefersVolume } from "../kernels/tuning.ts";
import { upsampleFlow, type UpsampleFlowOptions } from "../kernels/upsample_flow.ts";
import { SCRATCH_BYTES } from "../kernels/winograd.ts";
import { zeros } from "../kernels/zeros.ts";
import type { Weights } from "../nn/weights.ts";
import { RAFTEncoder } from "./raft_encoder.ts";
import { MaskPredictor, type RAFTState, UpdateBlock } from "./raft_update.ts";

/** What the context encoder makes of the first picture; both at 1/8. */
export interface RAFTContext {
  /** First hidden state, [N, h, w, recurrent_block_hidden_state_size]. */
  readonly hidden: Tensor;
  /** [N, h, w, the rest of the context encoder's channels]. */
  readonly context: Tensor;
}

/** Encoded pictures: `features()` of both, `context()` of the first. */
export interface RAFTPair extends RAFTContext {
  readonly feature1: Tensor;
  readonly feature2: Tensor;
}

/** Flow at 1/8. */
export interface RAFTFlow {
  /** [N, h, w, 2], x then y, in pixels of the features. */
  readonly flow: Tensor;
  /** [N, h, w, 576] for the convex upsampling; undefined for a network without mask predictor. */
  readonly mask: Tensor | undefined;
}

/** How often to refine. */
export interface RAFTOptions {
  /** At least 1; default `num_flow_updates` of the config. */
  readonly updates?: number | undefined;
}

/** Which pixels of the full-size flow are wanted; see `upsampleFlow()`. */
export type RAFTSize = Pick<UpsampleFlowOptions, "height" | "width" | "step">;

/**
 * torchvision's RAFT: optical flow between two pictures, in [-1, 1], of a size that `raftPaddedSize()` returns. A
 * flow says for each pixel of the first picture how far to the right and down to look in the second.
 */
export class RAFT {
  readonly config: RAFTConfig;
  readonly feature_encoder: RAFTEncoder;
  readonly context_encoder: RAFTEncoder;
  readonly update_block: UpdateBlock;
  readonly mask_predictor: MaskPredictor | null;
  readonly #label: string;
  readonly #scratchBytes: number;

  constructor(w: Weights, config: RAFTConfig) {
    const hidden = config.recurrent_block_hidden_state_size;
    const statistics = config.batch_norm_statistics;
    this.config = config;
    this.feature_encoder = new RAFTEncoder(w.at("feature_encoder"), {
      layers: config.feature_encoder_layers,
      block: config.feature_encoder_block,
      norm: config.feature_encoder_norm_layer,
      statistics,
      outputs: [{ channels: config.feature_encoder_layers.at(-1)!, activation: "none" }],
    });
    this.context_encoder = new RAFTEncoder(w.at("context_encoder"), {
      layers: config.context_encoder_layers,
      block: config.context_encoder_block,
      norm: config.context_encoder_norm_layer,
      statistics,
      outputs: [
        { channels: hidden, activation: "tanh" },
        { channels: config.context_encoder_layers.at(-1)! - hidden, activation: "relu" },
      ],
    });
    this.update_block = new UpdateBlock(w.at("update_block"), config);
    this.mask_predictor = config.use_mask_predictor
      ? new MaskPredictor(w.at("mask_predictor"), config)
      : null;
    this.#label = w.label;
    this.#scratchBytes = w.scratchBytes ?? SCRATCH_BYTES;
  }

  /**
   * Picture [N, H, W, 3] → [N, H/8, W/8, C]. Throws `RangeError` for sizes that the network does not take. A batch
   * norm with statistics of the picture sees this batch only.
   */
  features(rec: Recorder, picture: Tensor): Tensor {
    this.#checkSize(picture);
    return this.feature_encoder.forward(rec, picture)[0]!;
  }

  /** The part of a flow that depends on its first picture [N, H, W, 3] alone. Throws as `features()` does. */
  context(rec: Recorder, picture: Tensor): RAFTContext {
    this.#checkSize(picture);
    const [hidden, context] = this.context_encoder.forward(rec, picture);
    return { hidden: hidden!, context: context! };
  }

  /** Refines a flow of zeros; `upsampleFlow()` takes the result. Several pairs can share encoded pictures. */
  forward(rec: Recorder, pair: RAFTPair, options: RAFTOptions = {}): RAFTFlow {
    const { feature1, feature2, hidden, context } = pair;
    const { corr_block_num_levels: levels, corr_block_radius: radius, num_flow_updates } = this.config;
    const { updates = num_flow_updates } = options;
    if (!Number.isInteger(updates) || updates < 1) {
      throw new RangeError(`Cannot run "${this.#label}": ${updates} updates, wanted a positive integer`);
    }
    const label = `${this.#label}.corr_block`;
    const pyramid = [feature2];
    while (pyramid.length < levels) pyramid.push(avgPool2d(rec, pyramid.at(-1)!, { label }));
    const maxBytes = Math.min(this.#scratchBytes, rec.gpu.facts.maxBindingBytes);
    const lookUps = updates * (2 * radius + 2) ** 2;
    const volumes = pyramid.map((f2) => {
      const wanted = prefersVolume(rec.gpu.facts, { pixels: f2.size(1) * f2.size(2), lookUps });
      const fits = correlationVolumeBytes(feature1, f2) <= maxBytes;
      return wanted && fits ? correlationVolume(rec, feature1, { f2, label }) : null;
    });

    let state: RAFTState = { hidden, flow: zeros(rec, [...feature1.shape.slice(0, -1), 2], { label }) };
    for (let i = 0; i < updates; i++) {
      const looked = correlation(rec, feature1, { pyramid, volumes, flow: state.flow, radius, label });
      state = this.update_block.forward(rec, state, { context, correlation: looked });
      rec.tap(`${this.#label}.correlation${i}`, looked);
      rec.tap(`${this.#label}.flow_eighth.${i}`, state.flow);
    }
    const mask = this.mask_predictor?.forward(rec, state.hidden);
    for (const [name, tensor] of Object.entries({ feature1, feature2, hidden0: hidden, context, mask })) {
      if (tensor) rec.tap(`${this.#label}.${name}`, tensor);
    }
    return { flow: state.flow, mask };
  }

  /**
   * Flow from `picture1` to `picture2` [N, H, W, 3], in their pixels, as `upsampleFlow()` returns it: that of the
   * pixels (step · i, step · j) of the upper left height × width.
   */
  flow(rec: Recorder, picture1: Tensor, picture2: Tensor, options: RAFTOptions & RAFTSize): Tensor {
    const { updates, ...size } = options;
    const feature1 = this.features(rec, picture1), feature2 = this.features(rec, picture2);
    const pair = { feature1, feature2, ...this.context(rec, picture1) };
    const { flow, mask } = this.forward(rec, pair, { updates });
    return upsampleFlow(rec, flow, { ...size, mask, label: `${this.#label}.upsample` });
  }

  #checkSize(picture: Tensor): void {
    const [, height = 0, width = 0] = picture.shape;
    const least = leastSize(this.config);
    if (height % 8 || width % 8 || Math.min(height, width) < least) {
      throw new RangeError(
        `Cannot run "${this.#label}": picture "${picture.label}" is [${picture.shape}], ` +
          `wanted height and width in multiples of 8 from ${least} on`,
      );
    }
  }
}

/** Height and width to which pictures are padded at the right and the bottom, by repeating their border. */
export function raftPaddedSize(
  height: number,
  width: number,
  config: Pick<RAFTConfig, "corr_block_num_levels">,
): [number, number] {
  const least = leastSize(config);
  return [Math.max(least, 8 * Math.ceil(height / 8)), Math.max(least, 8 * Math.ceil(width / 8))];
}

/** The smallest level of the pyramid must have two rows and two columns. */
function leastSize({ corr_block_num_levels: levels }: Pick<RAFTConfig, "corr_block_num_levels">): number {
  return 16 * 2 ** (levels - 1);
}
