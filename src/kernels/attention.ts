import io from "../../wgsl/lib/attention_io.wgsl" with { type: "text" };
import tiledSource from "../../wgsl/attention.wgsl" with { type: "text" };
import subgroupSource from "../../wgsl/attention_subgroup.wgsl" with { type: "text" };
import type { Variant } from "../gpu/autotune.ts";
import { type Constants, defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands } from "./bands.ts";
import { assertShape } from "./shape.ts";
import { attentionCandidates, type AttentionFacts } from "./tuning.ts";

/** Largest number of channels of a head: more would not fit the registers. */
const MAX_HEAD_CHANNELS = 512;

/** Heads whose tiles are compiled by a test. */
const TESTED_HEAD_CHANNELS = [4, 8, 64, 128, 512];

const shared = {
  library: [io],
  bindings: { q: "read", k: "read", v: "read", y: "write" },
  params: {
    batch_begin: "u32",
    row_begin: "u32",
    rows: "u32",
    queries: "u32",
    keys: "u32",
    channels4: "u32",
    kv_stride4: "u32",
    causal: "u32",
    scale: "f32",
    q_base: "u32",
    y_base: "u32",
  },
} as const;

/** Tiles of queries of one head in workgroup memory. */
export const attentionKernel: Kernel = defineKernel({
  ...shared,
  name: "attention",
  source: tiledSource,
  variants: testedVariants({ software: false, subgroupSize: 0 }),
});

/** Queries in registers, keys and values by subgroup broadcast. */
export const attentionSubgroupKernel: Kernel = defineKernel({
  ...shared,
  name: "attention_subgroup",
  source: subgroupSource,
  subgroups: true,
  variants: testedVariants({ software: true, subgroupSize: 8 }),
});

/** Options of `attention()`. */
export interface AttentionOptions {
  /** A divisor of the number of channels. */
  readonly heads: number;
  /** Query i sees the keys 0 to i only; default false. */
  readonly causal?: boolean;
  /** Factor on the scores, default 1 / sqrt(channels per head). */
  readonly scale?: number;
  readonly label: string;
}

/**
 * Multi-head attention softmax(scale · q kᵀ) v of `q` [N, L, H·D], `k` and `v` [N, S, H·D]; a `k` and `v` of batch 1
 * serve all of q's. Returns [N, L, H·D]. D must be a multiple of 4 and at most 512. Throws `RangeError` for any
 * other, and where shapes do not fit.
 */
export function attention(rec: Recorder, q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { heads, causal = false, label } = options;
  const [batch = 1, queries = 1, channels = 1] = q.shape;
  const [kvBatch = 1, keys = 1] = k.shape;
  const headChannels = channels / heads;
  if (!Number.isInteger(heads) || heads < 1 || headChannels % 4 || headChannels > MAX_HEAD_CHANNELS) {
    throw new RangeError(
      `Cannot run attention "${label}": ${channels} channels in ${heads} heads, heads of a multiple of 4 and at most ${MAX_HEAD_CHANNELS} channels wanted`,
    );
  }
  const kernel = { kernel: "attention", label };
  assertShape(q, [batch, queries, channels], kernel);
  assertShape(k, [kvBatch === 1 ? 1 : batch, keys, channels], kernel);
  assertShape(v, k.shape, kernel);

  const y = rec.tensor(q.shape, label);
  const { channels4 } = q;
  const candidates = attentionCandidates(rec.gpu.facts, headChannels);
  const bands = rowBands({
    batch,
    height: queries,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [{ total: q.storage.byteLength, band: (rows) => 16 * rows * channels4 }],
    label,
  });
  for (const band of bands) {
    const from = (band.batchBegin * queries + band.rowBegin) * channels4;
    const to = ((band.batchBegin + band.batch - 1) * queries + band.rowBegin + band.rows) * channels4;
    const input = slice(q, from, to), output = slice(y, from, to);
    const variants = candidates.map(({ kernel, constants, tileQueries }): Variant => ({
      kernel: kernel === "tiled" ? attentionKernel : attentionSubgroupKernel,
      constants,
      workgroups: [Math.ceil(band.rows / tileQueries), heads, band.batch],
    }));
    rec.runOneOf(variants, {
      label,
      key: `attention ${q.shape.join("x")} to ${keys} in ${heads}${causal ? " causal" : ""}`,
      work: 2 * band.batch * band.rows * keys * channels,
      bindings: { q: input, k, v, y: output },
      params: {
        batch_begin: band.batchBegin,
        row_begin: band.rowBegin,
        rows: band.rows,
        queries,
        keys,
        channels4,
        kv_stride4: kvBatch > 1 ? keys * channels4 : 0,
        causal: causal ? 1 : 0,
        scale: options.scale ?? 1 / Math.sqrt(headChannels),
        q_base: input.base,
        y_base: output.base,
      },
    });
  }
  return y;
}

function testedVariants(facts: Pick<AttentionFacts, "software" | "subgroupSize">): Constants[] {
  const limits = { maxInvocations: 256, maxWorkgroupBytes: 32768 };
  return TESTED_HEAD_CHANNELS.flatMap((channels) =>
    attentionCandidates({ ...facts, ...limits }, channels).map(({ constants }) => constants)
  );
}
