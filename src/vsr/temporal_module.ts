import type { ModelConfigs } from "../checkpoint/model_configs.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { flowWarp, ogwm } from "../kernels/flow_warp.ts";
import type { ControlNet } from "../models/controlnet.ts";
import type { DGAFNet } from "../models/dgafnet.ts";
import type { Guidance } from "../models/unet.ts";
import type { VAEDecoder } from "../models/vae.ts";
import type { FlowStep } from "./flows.ts";
import { decodeLatent, type Tiling } from "./tile_decoder.ts";

/** Factor at which OGWM warps the latent estimate; the paper's ablation chose 4. */
const OGWM_FACTOR = 4;

/** What `align()` takes. */
export interface Estimate {
  /** Clean estimate of the frame visited before, [1, h, w, L]. */
  readonly clean: Tensor;
  /** Its picture [1, f·h, f·w, 3], where that was decoded in tiles. */
  readonly picture: Tensor | null;
}

/** What a temporal module sees beside latent, frame and guide. */
export interface TemporalInputs {
  /** Sinusoid of the timestep, [1, 1, block_out_channels[0]]. */
  readonly sinusoid: Tensor;
  /** Row of the class embedding [1, 1, D], where the network has classes. */
  readonly classEmbedding: Tensor | null;
  /** Factor of all residuals. */
  readonly conditioningScale: number;
}

/** Guides a frame by the one visited before it. */
export interface TemporalModule {
  /** Makes the residuals. */
  readonly network: DGAFNet | ControlNet;
  /** The density of the flows that `align()` takes. */
  readonly flowStep: FlowStep;
  /** How the estimate is decoded before it is aligned; null where `align()` does that, or aligns it as a latent. */
  readonly tiling: Tiling | null;
  /** Estimate of the frame visited before, warped along the flow between the two → guide. */
  align(rec: Recorder, estimate: Estimate, flow: Tensor): Tensor;
  /**
   * Noisy latent [1, h, w, L], frame [1, h, w, 3] and guide → what gives the residuals for the UNet where that sees a text
   * embedding [1, S, D].
   */
  guide(
    rec: Recorder,
    images: readonly [Tensor, Tensor, Tensor],
    inputs: TemporalInputs,
  ): (context: Tensor) => Guidance;
}

/** The density of the flows that a model's temporal module reads; null where the model has none. */
export function flowStepOf({ dgafnet, controlnet }: ModelConfigs): FlowStep | null {
  return dgafnet ? OGWM_FACTOR : controlnet ? 1 : null;
}

/** DGAF-VSR's: the estimate is warped as a latent, and DGAFNet sees that. */
export class LatentGuide implements TemporalModule {
  readonly flowStep = OGWM_FACTOR;
  readonly tiling = null;
  readonly network: DGAFNet;

  constructor(network: DGAFNet) {
    this.network = network;
  }

  /** → guide [1, h, w, L]. */
  align(rec: Recorder, { clean }: Estimate, flow: Tensor): Tensor {
    return ogwm(rec, clean, flow, { factor: OGWM_FACTOR, mode: "bilinear", label: "ogwm" });
  }

  /** DGAFNet does not see the text: it runs once for all. */
  guide(rec: Recorder, images: readonly [Tensor, Tensor, Tensor], inputs: TemporalInputs): () => Guidance {
    const guidance = this.network.forward(rec, images, inputs);
    return () => guidance;
  }
}

/** StableVSR's: the estimate is decoded, the picture is warped, and ControlNet sees that. */
export class PictureGuide implements TemporalModule {
  readonly flowStep = 1;
  readonly network: ControlNet;
  readonly tiling: Tiling | null;
  readonly #vae: VAEDecoder;

  /** `tile` is the side of the tiles that estimates are decoded in, as `Tiling` has it; null for whole ones. */
  constructor(network: ControlNet, vae: VAEDecoder, tile: number | null) {
    this.network = network;
    this.tiling = tile === null ? null : { decoder: vae, tile };
    this.#vae = vae;
  }

  /** → guide [1, 4h, 4w, 3], around [-1, 1]. */
  align(rec: Recorder, { clean, picture }: Estimate, flow: Tensor): Tensor {
    const decoded = picture ?? decodeLatent(rec, this.#vae, clean);
    return flowWarp(rec, decoded, flow, { label: "warp picture" });
  }

  guide(
    rec: Recorder,
    images: readonly [Tensor, Tensor, Tensor],
    inputs: TemporalInputs,
  ): (context: Tensor) => Guidance {
    return (context) => this.network.forward(rec, images, { ...inputs, context });
  }
}
