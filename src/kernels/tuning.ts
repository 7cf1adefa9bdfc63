import type { AdapterFacts } from "../gpu/device.ts";
import type { Constants } from "../gpu/kernel.ts";
import { TEXTURE_ROW } from "../gpu/tensor.ts";

/** How a matrix product is cut into tiles. */
export interface GemmVariant {
  readonly kernel: "tiled" | "subgroup";
  readonly constants: Constants;
  /** Rows and vec4s of columns that one workgroup computes. */
  readonly tileRows: number;
  readonly tileColumns4: number;
}

/** Size of a matrix product: rows and vec4s of columns of the result, and how many products there are (default 1). */
export interface GemmSize {
  readonly rows: number;
  readonly columns4: number;
  readonly batch?: number;
}

/** Register tiles in use on software adapters: rows per lane and vec4s of columns. */
export const subgroupTiles: readonly Constants[] = [
  { TP: 4, TC4: 8 },
  { TP: 2, TC4: 8 },
  ...[8, 4, 1].flatMap((TP) => [4, 2, 1].map((TC4) => ({ TP, TC4 }))),
];

interface WorkgroupTile extends Constants {
  readonly LANES_M: number;
  readonly LANES_N: number;
  readonly TM: number;
  readonly TN4: number;
}

/**
 * Tiles in workgroup memory, with a judgement of the time they take per element. More rows and columns per lane need
 * fewer loads from workgroup memory, more per workgroup fewer from global memory. 8 × 8 per lane would need the least,
 * but takes about 200 registers, which many GPUs do not have: its cost keeps it from being chosen untimed.
 */
const WORKGROUP_TILES: readonly { readonly tile: WorkgroupTile; readonly cost: number }[] = [
  { tile: { LANES_M: 32, LANES_N: 8, TM: 4, TN4: 2 }, cost: 1 },
  { tile: { LANES_M: 16, LANES_N: 8, TM: 4, TN4: 2 }, cost: 1.05 },
  { tile: { LANES_M: 16, LANES_N: 16, TM: 8, TN4: 2 }, cost: 1.15 },
  { tile: { LANES_M: 8, LANES_N: 8, TM: 8, TN4: 2 }, cost: 1.15 },
  { tile: { LANES_M: 16, LANES_N: 4, TM: 4, TN4: 2 }, cost: 1.2 },
  { tile: { LANES_M: 16, LANES_N: 16, TM: 4, TN4: 1 }, cost: 1.3 },
  { tile: { LANES_M: 8, LANES_N: 8, TM: 4, TN4: 1 }, cost: 1.4 },
  { tile: { LANES_M: 4, LANES_N: 16, TM: 4, TN4: 1 }, cost: 1.5 },
  { tile: { LANES_M: 16, LANES_N: 4, TM: 4, TN4: 1 }, cost: 1.5 },
  { tile: { LANES_M: 64, LANES_N: 1, TM: 2, TN4: 2 }, cost: 2 },
  { tile: { LANES_M: 64, LANES_N: 1, TM: 2, TN4: 1 }, cost: 2.9 },
];

/** Tiles in workgroup memory in use on GPUs. */
export const workgroupTiles: readonly Constants[] = WORKGROUP_TILES.map(({ tile }) => tile);

/** Workgroups that keep all cores busy, two on each. WebGPU does not say how many a GPU has: 64. */
const WORKGROUPS_AT_ONCE = 128;

/** Tiles that are expected to take more times as long as the best are not worth timing. */
const WORTH_TIMING = 1.5;

/**
 * Tiles of a matrix product, the one that is expected to be the fastest first, then others that are worth timing. All
 * give the same bytes. Software adapters run loads one lane at a time and gain nothing from workgroup memory: register
 * tiles fed by subgroup broadcasts. GPUs, and software adapters without subgroups: tiles in workgroup memory.
 */
export function gemmCandidates(facts: AdapterFacts, size: GemmSize): GemmVariant[] {
  return facts.software && facts.subgroupSize > 0
    ? subgroupCandidates(facts.subgroupSize, size)
    : tiledCandidates(facts, size);
}

function subgroupCandidates(subgroupSize: number, { rows, columns4 }: GemmSize): GemmVariant[] {
  // Narrow tiles are slower by a tenth: not worth computing many columns that are not there.
  const fillsWide = 8 * Math.ceil(columns4 / 8) <= 1.15 * columns4;
  const [tp, tc4]: [number, number] = rows > subgroupSize && fillsWide
    ? [rows > 2 * subgroupSize ? 4 : 2, 8]
    : [rows >= 4 * subgroupSize ? 8 : rows > subgroupSize ? 4 : 1, columns4 >= 4 ? 4 : columns4 >= 2 ? 2 : 1];
  const tiles = subgroupTiles.map(({ TP, TC4 }) => ({ TP: Number(TP), TC4: Number(TC4) }));
  const others = tiles.filter(({ TP, TC4 }) =>
    !(TP === tp && TC4 === tc4) && TC4 <= columns4 && TP * subgroupSize < 2 * rows && 4 * TP * TC4 >= tp * tc4
  );
  return [{ TP: tp, TC4: tc4 }, ...others]
    .map(({ TP, TC4 }) => {
      const waves = Math.min(4, Math.ceil(rows / (subgroupSize * TP)));
      return {
        kernel: "subgroup" as const,
        constants: { SUBGROUP: subgroupSize, WAVES: waves, TP, TC4 },
        tileRows: waves * subgroupSize * TP,
        tileColumns4: TC4,
      };
    });
}

function tiledCandidates(facts: AdapterFacts, { rows, columns4, batch = 1 }: GemmSize): GemmVariant[] {
  // What a lane costs on a software adapter is barriers.
  const maxLanes = facts.software ? 64 : facts.maxInvocations;
  const atOnce = facts.software ? 2 : WORKGROUPS_AT_ONCE;
  return WORKGROUP_TILES
    .filter(({ tile }) =>
      tile.LANES_M * tile.LANES_N <= maxLanes && workgroupBytes(tile) <= facts.maxWorkgroupBytes
    )
    .map(({ tile, cost }) => {
      const tileRows = tile.LANES_M * tile.TM, tileColumns4 = tile.LANES_N * tile.TN4;
      // Workgroups run in rounds, and a round takes as long as a tile.
      const workgroups = batch * Math.ceil(rows / tileRows) * Math.ceil(columns4 / tileColumns4);
      const time = Math.ceil(workgroups / atOnce) * tileRows * tileColumns4 * cost;
      return { time, variant: { kernel: "tiled" as const, constants: tile, tileRows, tileColumns4 } };
    })
    .sort((a, b) => a.time - b.time)
    .filter(({ time }, _, [best]) => time <= WORTH_TIMING * best!.time)
    .map(({ variant }) => variant);
}

/** Workgroup memory that a tile takes: in each step 4 vec4 on the inner axis, and one vec4 of padding for each. */
function workgroupBytes({ LANES_M, LANES_N, TM, TN4 }: WorkgroupTile): number {
  return 4 * 16 * (LANES_M * TM + 1) + 16 * 16 * LANES_N * TN4;
}

/**
 * Whether a matrix of weights is better kept in a texture. Software adapters load from a buffer lane by lane, each with
 * a check of its bounds, and from a texture all lanes together: in a third of the time on llvmpipe.
 */
export function prefersTexture(
  facts: Pick<AdapterFacts, "software" | "subgroupSize" | "maxTextureRows">,
  vec4s: number,
): boolean {
  return facts.software && facts.subgroupSize > 0 && vec4s <= TEXTURE_ROW * facts.maxTextureRows;
}

/** How attention is cut into tiles. */
export interface AttentionVariant {
  readonly kernel: "tiled" | "subgroup";
  readonly constants: Constants;
  /** Queries that one workgroup computes. */
  readonly tileQueries: number;
}

/** What of an adapter decides about the tiles of attention. */
export type AttentionFacts = Pick<
  AdapterFacts,
  "software" | "subgroupSize" | "maxInvocations" | "maxWorkgroupBytes"
>;

/**
 * Tiles of attention with heads of `headChannels` channels, the one that is expected to be the fastest first. All give
 * the same bytes. As for `gemmCandidates()`: registers and subgroup broadcasts on software adapters, the more queries
 * and keys the fewer channels they have, so that the shader stays short enough to compile in time; workgroup memory on
 * others.
 */
export function attentionCandidates(facts: AttentionFacts, headChannels: number): AttentionVariant[] {
  const headChannels4 = headChannels / 4;
  if (facts.software && facts.subgroupSize > 0) {
    const tq = headChannels <= 64 ? 4 : headChannels <= 128 ? 2 : 1;
    const keys = headChannels <= 64 ? 4 : 2;
    return [{
      kernel: "subgroup",
      constants: { SUBGROUP: facts.subgroupSize, TQ: tq, KEYS: keys, HEAD_CHANNELS4: headChannels4 },
      tileQueries: facts.subgroupSize * tq,
    }];
  }
  // More lanes per query take fewer registers each, and more loads: a lane keeps to about 130 registers.
  const rowLanes = headChannels <= 64 ? 2 : headChannels <= 256 ? 4 : 8;
  const depth4 = headChannels4 >= 4 ? 4 : headChannels4 >= 2 ? 2 : 1;
  let channelLanes = rowLanes;
  while (channelLanes < 8 * rowLanes && channelLanes < headChannels4) channelLanes *= 2;
  return [32, 64, 16]
    .filter((queries) =>
      queries * rowLanes <= facts.maxInvocations &&
      attentionBytes({ queries, rowLanes, depth4 }) <= facts.maxWorkgroupBytes
    )
    .map((queries) => ({
      kernel: "tiled",
      constants: {
        QUERIES: queries,
        ROW_LANES: rowLanes,
        HEAD_CHANNELS4: headChannels4,
        CHANNEL_LANES: channelLanes,
        LANE_CHANNELS4: Math.ceil(headChannels4 / channelLanes),
        DEPTH4: depth4,
      },
      tileQueries: queries,
    }));
}

/** Workgroup memory: scores of 64 keys, staged queries and keys, each with padding; values per lane and per query. */
function attentionBytes(
  { queries, rowLanes, depth4 }: {
    readonly queries: number;
    readonly rowLanes: number;
    readonly depth4: number;
  },
): number {
  return 16 * (17 * queries + depth4 * (queries + 1 + 65)) + 4 * (queries * rowLanes + queries);
}

/** How a convolution of few channels is cut: into runs of neighbouring pixels of a row. */
export interface DirectVariant {
  readonly kernel: "direct" | "direct_subgroup";
  readonly constants: Constants;
  readonly runPixels: number;
  /** Runs and vec4s of output channels that one workgroup computes. */
  readonly tileRuns: number;
  readonly tileColumns4: number;
}

/** What decides how a convolution is computed. */
export interface ConvolutionSize {
  readonly kernelWidth: number;
  readonly stride: number;
  readonly inChannels: number;
  readonly outChannels: number;
  /** Of the output, all images together. */
  readonly pixels: number;
}

/** Runs in use: pixels and vec4s of output channels that one invocation computes. */
const RUNS: readonly { readonly PX: number; readonly TC4: number }[] = [
  { PX: 4, TC4: 4 },
  { PX: 4, TC4: 2 },
  { PX: 8, TC4: 1 },
];

/** Runs with the shapes that need most registers; a test compiles them. */
export const directTiles: readonly Constants[] = [
  ...RUNS,
  ...RUNS.map((run) => ({ KW: 7, STRIDE: 2, CHANNELS: 3, ...run })),
];

/** Invocations of a workgroup that computes runs on a GPU, and subgroups of one on a software adapter. */
const RUN_LANES = 64, RUN_WAVES = 4;

/** Columns of the kernel times channels of a vec4, at most: what one step unrolls must stay below 60 KB of text. */
const MAX_STEP = 21;

/** Fewer pixels make too few runs to fill subgroups on two cores. */
const MIN_RUN_PIXELS = 256;

/**
 * Runs of a convolution of few channels, the one that is expected to be the fastest first; none where an implicit
 * matrix product is expected to be faster. A run loads each input pixel once for all columns of the kernel, which
 * counts on software adapters, where they were measured. GPUs get them where a matrix product would stage and multiply
 * mostly padding: for up to four input channels. All give the same bytes.
 */
export function directCandidates(facts: AdapterFacts, size: ConvolutionSize): DirectVariant[] {
  const { kernelWidth, stride, inChannels, outChannels, pixels } = size;
  const channels = Math.min(inChannels, 4), columns4 = Math.ceil(outChannels / 4);
  if (kernelWidth < 3 || kernelWidth * channels > MAX_STEP || pixels < MIN_RUN_PIXELS) return [];
  const shape = { KW: kernelWidth, STRIDE: stride, CHANNELS: channels };
  const runs = RUNS.filter(({ TC4 }) => TC4 <= columns4);
  if (facts.software) {
    const few = inChannels <= 4 || columns4 <= 2 || stride === 1 && inChannels <= 32;
    if (!few || facts.subgroupSize === 0) return [];
    return runs.slice(0, 1).map((run) => ({
      kernel: "direct_subgroup",
      constants: { SUBGROUP: facts.subgroupSize, WAVES: RUN_WAVES, ...shape, ...run },
      runPixels: run.PX,
      tileRuns: RUN_WAVES * facts.subgroupSize,
      tileColumns4: run.TC4,
    }));
  }
  if (inChannels > 4) return [];
  return runs
    .filter(({ PX, TC4 }) =>
      Math.ceil(pixels / (PX * RUN_LANES)) * Math.ceil(columns4 / TC4) >= WORKGROUPS_AT_ONCE
    )
    .map((run) => ({
      kernel: "direct",
      constants: { ...shape, ...run },
      runPixels: run.PX,
      tileRuns: RUN_LANES,
      tileColumns4: run.TC4,
    }));
}

/**
 * Whether a 3×3 convolution with stride 1 is faster by Winograd's F(4×4, 3×3): it needs channels enough to outweigh the
 * transforms, more where the rival computes runs of pixels, and tiles enough to outweigh filters that are four times as
 * large, or that must be transformed each time.
 */
export function prefersWinograd(
  facts: Pick<AdapterFacts, "software" | "subgroupSize">,
  shape: {
    readonly inChannels: number;
    readonly outChannels: number;
    readonly pixels: number;
    /** Whether the transformed filters are computed once. */
    readonly filterKept: boolean;
  },
): boolean {
  const { inChannels, outChannels, pixels, filterKept } = shape;
  const leastSum = facts.software && facts.subgroupSize > 0 ? 48 : 32;
  return Math.min(inChannels, outChannels) >= 16 && inChannels + outChannels >= leastSum &&
    pixels >= (filterKept ? 128 : 1024);
}

/**
 * Whether RAFT's dot products with a level of `pixels` are faster computed all at once, as a matrix product, than where
 * they are looked up, so many times per pixel of the first image. The product is about 8 times as efficient.
 */
export function prefersVolume(
  facts: Pick<AdapterFacts, "software">,
  { pixels, lookUps }: { readonly pixels: number; readonly lookUps: number },
): boolean {
  return facts.software && pixels <= 8 * lookUps;
}
