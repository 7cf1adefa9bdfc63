import type { AdapterFacts } from "../gpu/device.ts";
import type { Constants } from "../gpu/kernel.ts";

/** How a matrix product is cut into tiles. */
export interface GemmVariant {
  readonly kernel: "tiled" | "subgroup";
  readonly constants: Constants;
  /** Rows and vec4s of columns that one workgroup computes. */
  readonly tileRows: number;
  readonly tileColumns4: number;
}

/** Register tiles in use on software adapters: rows per lane and vec4s of columns. */
export const subgroupTiles: readonly Constants[] = [1, 4, 8].flatMap((TP) =>
  [1, 2, 4].map((TC4) => ({ TP, TC4 }))
);

/** Tiles in workgroup memory in use on GPUs. */
export const workgroupTiles: readonly Constants[] = [
  { LANES_M: 8, LANES_N: 8, TM: 8, TN4: 2 },
  { LANES_M: 8, LANES_N: 8, TM: 2, TN4: 2 },
  { LANES_M: 16, LANES_N: 4, TM: 8, TN4: 2 },
  { LANES_M: 16, LANES_N: 4, TM: 2, TN4: 2 },
  { LANES_M: 64, LANES_N: 1, TM: 2, TN4: 1 },
  { LANES_M: 64, LANES_N: 1, TM: 2, TN4: 2 },
];

/**
 * Chooses the tile of a matrix product. Software adapters run loads one lane at a time and gain nothing from workgroup
 * memory: register tiles fed by subgroup broadcasts. GPUs: tiles in workgroup memory.
 */
export function gemmVariant(
  facts: AdapterFacts,
  { rows, columns4 }: { readonly rows: number; readonly columns4: number },
): GemmVariant {
  if (facts.software && facts.subgroupSize > 0) {
    const tc4 = columns4 >= 4 ? 4 : columns4 >= 2 ? 2 : 1;
    const tp = rows >= 4 * facts.subgroupSize ? 8 : rows > facts.subgroupSize ? 4 : 1;
    const waves = Math.min(4, Math.ceil(rows / (facts.subgroupSize * tp)));
    return {
      kernel: "subgroup",
      constants: { SUBGROUP: facts.subgroupSize, WAVES: waves, TP: tp, TC4: tc4 },
      tileRows: waves * facts.subgroupSize * tp,
      tileColumns4: tc4,
    };
  }
  const lanesN = columns4 > 8 ? 8 : columns4 > 2 ? 4 : 1;
  const lanesM = 64 / lanesN;
  const tm = lanesN === 1 ? 2 : rows >= 1024 ? 8 : 2;
  const tn4 = lanesN === 1 ? Math.min(columns4, 2) : 2;
  return {
    kernel: "tiled",
    constants: { LANES_M: lanesM, LANES_N: lanesN, TM: tm, TN4: tn4 },
    tileRows: lanesM * tm,
    tileColumns4: lanesN * tn4,
  };
}

/** How attention is cut into tiles. */
export interface AttentionVariant {
  readonly kernel: "tiled" | "subgroup";
  readonly constants: Constants;
  /** Queries that one workgroup computes. */
  readonly tileQueries: number;
}

/**
 * Chooses the tile of attention with heads of `headChannels` channels, for the reasons of `gemmVariant()`: registers
 * and subgroup broadcasts on software adapters, the more queries and keys the fewer channels they have, so that the
 * shader stays short enough to compile in time; workgroup memory on others, where a lane of a GPU keeps to about 130
 * registers, and an adapter that pays for every load and barrier but not for registers gets many queries, few lanes.
 */
export function attentionVariant(
  facts: Pick<AdapterFacts, "software" | "subgroupSize">,
  headChannels: number,
): AttentionVariant {
  const headChannels4 = headChannels / 4;
  if (facts.software && facts.subgroupSize > 0) {
    const tq = headChannels <= 64 ? 4 : headChannels <= 128 ? 2 : 1;
    const keys = headChannels <= 64 ? 4 : 2;
    return {
      kernel: "subgroup",
      constants: { SUBGROUP: facts.subgroupSize, TQ: tq, KEYS: keys, HEAD_CHANNELS4: headChannels4 },
      tileQueries: facts.subgroupSize * tq,
    };
  }
  const lanes = facts.software ? 16 : 64, queries = facts.software ? 16 : 8;
  const laneChannels4 = Math.max(Math.min(headChannels4, 2), Math.ceil(headChannels4 / lanes));
  let channelLanes = 1;
  while (channelLanes * laneChannels4 < headChannels4) channelLanes *= 2;
  return {
    kernel: "tiled",
    constants: {
      LANES: lanes,
      QUERIES: queries,
      HEAD_CHANNELS4: headChannels4,
      CHANNEL_LANES: channelLanes,
      LANE_CHANNELS4: laneChannels4,
    },
    tileQueries: queries,
  };
}

/**
 * Whether a 3×3 convolution with stride 1 is faster by Winograd's F(4×4, 3×3): it needs channels enough to outweigh the
 * transforms, and tiles enough to outweigh filters that are four times as large, or that must be transformed each time.
 */
export function prefersWinograd(
  shape: {
    readonly inChannels: number;
    readonly outChannels: number;
    readonly pixels: number;
    /** Whether the transformed filters are computed once. */
    readonly filterKept: boolean;
  },
): boolean {
  return shape.inChannels >= 16 && shape.outChannels >= 16 && shape.pixels >= (shape.filterKept ? 128 : 1024);
}
