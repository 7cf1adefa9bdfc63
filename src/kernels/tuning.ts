import type { AdapterFacts } from "../gpu/device.ts";
import type { Constants } from "../gpu/kernel.ts";

/** How a convolution is cut into tiles. */
export interface Conv2dVariant {
  readonly kernel: "conv2d" | "conv2d_subgroup";
  readonly constants: Constants;
  /** Output pixels and vec4s of output channels that one workgroup computes. */
  readonly tilePixels: number;
  readonly tileChannels4: number;
}

const WAVES = 4;

/**
 * Chooses the convolution for a shape. Software adapters run loads one lane at a time and gain nothing from workgroup
 * memory: register tiles fed by subgroup broadcasts. GPUs: tiles in workgroup memory.
 */
export function conv2dVariant(
  facts: AdapterFacts,
  shape: { readonly pixels: number; readonly outChannels4: number },
): Conv2dVariant {
  const { pixels, outChannels4 } = shape;
  if (facts.software && facts.subgroupSize > 0) {
    const tc4 = outChannels4 >= 4 ? 4 : outChannels4 >= 2 ? 2 : 1;
    const tp = pixels >= 2048 ? 8 : pixels >= 256 ? 4 : 1;
    return {
      kernel: "conv2d_subgroup",
      constants: { SUBGROUP: facts.subgroupSize, TP: tp, TC4: tc4 },
      tilePixels: WAVES * facts.subgroupSize * tp,
      tileChannels4: tc4,
    };
  }
  const lanesN = outChannels4 > 8 ? 8 : outChannels4 > 2 ? 4 : 1;
  const lanesM = 64 / lanesN;
  const tm = lanesN === 1 ? 2 : pixels >= 1024 ? 8 : 2;
  const tn4 = lanesN === 1 ? Math.min(outChannels4, 2) : 2;
  return {
    kernel: "conv2d",
    constants: { LANES_M: lanesM, LANES_N: lanesN, TM: tm, TN4: tn4 },
    tilePixels: lanesM * tm,
    tileChannels4: lanesN * tn4,
  };
}
