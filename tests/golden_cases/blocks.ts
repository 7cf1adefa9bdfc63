import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { bicubicUpsample } from "../../src/kernels/bicubic_upsample.ts";
import { flowWarp, ogwm } from "../../src/kernels/flow_warp.ts";
import { resizeBicubic, resizeBicubicU8 } from "../../src/media/resample.ts";
import { ConditioningEmbedding } from "../../src/models/controlnet.ts";
import { Attention, PixelAttention } from "../../src/nn/attention.ts";
import { Conv2d } from "../../src/nn/conv2d.ts";
import { GroupNorm } from "../../src/nn/group_norm.ts";
import { LayerNorm } from "../../src/nn/layer_norm.ts";
import { Downsample, Upsample } from "../../src/nn/resample.ts";
import { ResnetBlock } from "../../src/nn/resnet_block.ts";
import { TimestepEmbedding, timestepEmbedding } from "../../src/nn/timestep_embedding.ts";
import { FeedForward, Transformer } from "../../src/nn/transformer_block.ts";
import type { Weights } from "../../src/nn/weights.ts";
import { flowTensor } from "../_flow_pairs.ts";
import { weight } from "../generated.ts";
import { withGenerated } from "../generated_weights.ts";
import { type Golden, tensorOf } from "../golden_file.ts";
import {
  type CaseRunner,
  compute,
  type Computed,
  everyNth,
  imageInput,
  inputOf,
  intermediates,
  plainInput,
} from "./run.ts";

/** Runner of a block whose weights stand under the case's own prefix. */
function block<N>(
  build: (w: Weights, config: Record<string, number>) => N,
  forward: (
    network: N,
    run: Parameters<Parameters<typeof compute>[1]>[0],
    inputs: Inputs,
  ) => Record<string, Tensor>,
): CaseRunner {
  return async (gpu, golden) => {
    const [prefix] = golden.case.weights!.prefixes;
    const from = { case: golden.case, prefix: prefix!, build: (w: Weights) => build(w, golden.case.config!) };
    const inputs: Inputs = {
      golden,
      image: (name) => imageInput(gpu, golden, name),
      plain: (name) => plainInput(gpu, golden, name),
    };
    return await withGenerated(gpu, from, (network) => {
      return compute(
        gpu,
        (rec) => forward(network, rec, inputs),
        intermediates(golden, prefix!.replace(/\.$/, "")),
      );
    });
  };
}

interface Inputs {
  readonly golden: Golden;
  image(name: string): Tensor;
  plain(name: string): Tensor;
}

/** Runners by the index's `network`. */
export const blockRunners: Record<string, CaseRunner> = {
  GroupNorm: block(
    (w, c) => new GroupNorm(w, { channels: c["channels"]!, groups: c["groups"]!, eps: c["eps"]! }),
    (norm, rec, { image, golden }) => {
      const x = image("x");
      const y = norm.forward(rec, x);
      return golden.tensors.has("y_silu") ? { y, y_silu: norm.forward(rec, x, "silu") } : { y };
    },
  ),
  LayerNorm: block(
    (w, c) => new LayerNorm(w, c["channels"]!, c["eps"]),
    (norm, rec, { plain }) => ({ y: norm.forward(rec, plain("x")) }),
  ),
  Conv2d: block(
    (w, c) =>
      new Conv2d(w, {
        in: c["in"]!,
        out: c["out"]!,
        kernel: c["kernel"]!,
        stride: c["stride"]!,
        padding: c["padding"]!,
      }),
    (conv, rec, { image }) => ({ y: conv.forward(rec, image("x")) }),
  ),
  ControlNetConditioningEmbedding: block(
    (w, c) => {
      const channels: readonly number[] = Object.values(c["conditioning_embedding_out_channels"]!);
      return new ConditioningEmbedding(w, { in: 3, channels, out: c["out"]! });
    },
    (embedding, rec, { image }) => ({ y: embedding.forward(rec, image("x")) }),
  ),
  FeedForward: block(
    (w, c) => new FeedForward(w, c["dim"]!),
    (ff, rec, { plain }) => ({ y: ff.forward(rec, plain("x")) }),
  ),
  Attention: block(
    (w, c) => {
      if (!c["heads"]) {
        return new PixelAttention(w, { channels: c["channels"]!, groups: c["norm_num_groups"]!, eps: 1e-6 });
      }
      const channels = c["dim"]!;
      return new Attention(w, {
        channels,
        contextChannels: c["cross_attention_dim"] ?? channels,
        heads: c["heads"],
      });
    },
    (attention, rec, { image, plain, golden }) => {
      if (attention instanceof PixelAttention) return { y: attention.forward(rec, image("x")) };
      const x = plain("x");
      return { y: attention.forward(rec, x, golden.tensors.has("context") ? plain("context") : x) };
    },
  ),
  ResnetBlock2D: block(
    (w, c) =>
      new ResnetBlock(w, {
        in: c["in_channels"]!,
        out: c["out_channels"]!,
        timeChannels: c["temb_channels"]!,
        groups: c["groups"]!,
        eps: c["eps"]!,
      }),
    (resnet, rec, { image, golden }) => {
      const time = golden.tensors.has("temb") ? siluTokens(rec.gpu, golden, "temb") : null;
      return { y: resnet.forward(rec, image("x"), time) };
    },
  ),
  Transformer2DModel: block(
    (w, c) =>
      new Transformer(w, {
        channels: c["channels"]!,
        contextChannels: c["cross_attention_dim"]!,
        heads: c["heads"]!,
        groups: c["norm_num_groups"]!,
        onlyCrossAttention: Boolean(c["only_cross_attention"]),
      }),
    (transformer, rec, { image, plain }) => ({ y: transformer.forward(rec, image("x"), plain("context")) }),
  ),
  Downsample2D: block(
    (w, c) => new Downsample(w, c["channels"]!, c["padding"] as 0 | 1),
    (downsample, rec, { image }) => ({ y: downsample.forward(rec, image("x")) }),
  ),
  Upsample2D: block(
    (w, c) => new Upsample(w, c["channels"]!),
    (upsample, rec, { image, golden }) => ({
      y: upsample.forward(rec, image("x"), golden.case.options!["size"]),
    }),
  ),
  timestep_embedding: (_gpu, golden) => Promise.resolve(sinusoids(golden)),
  time_embedding: timeEmbedding,
  flow_warp: (gpu, golden) =>
    compute(gpu, (rec) => {
      const x = imageInput(gpu, golden, "x");
      return forEachOutput(golden, "y.", (name) => {
        const [flow, mode] = name.split(".") as [string, "bilinear" | "nearest"];
        const stored = flowTensor(gpu, flow, inputOf(golden, `flow.${flow}`));
        return flowWarp(rec, x, stored, { mode, label: name });
      });
    }),
  ogwm: (gpu, golden) =>
    compute(gpu, (rec) => {
      const x0 = imageInput(gpu, golden, "x0");
      return forEachOutput(golden, "y.", (name) => {
        const [which, mode] = name.split(".") as [string, "bilinear" | "nearest"];
        const factor = Number(which.replace("factor", "")) as 1 | 2 | 4 | 8;
        const { shape, data } = tensorOf(golden, `flow.${which}`);
        const sparse = { shape: [1, x0.size(1), x0.size(2), 2], data: everyNth(data, shape, factor) };
        const flow = flowTensor(gpu, which, sparse);
        return ogwm(rec, x0, flow, { factor, mode, label: name });
      });
    }),
  resample: (gpu, golden) =>
    golden.tensors.has("u8.x") ? Promise.resolve(pilBicubic(golden)) : compute(gpu, (rec) => ({
      y: bicubicUpsample(rec, imageInput(gpu, golden, "x"), { factor: 4, label: "bicubic" }),
    })),
};

function forEachOutput(
  golden: Golden,
  prefix: string,
  make: (name: string) => Tensor,
): Record<string, Tensor> {
  const names = Object.keys(golden.case.tensors).filter((name) => name.startsWith(prefix));
  return Object.fromEntries(names.map((name) => [name, make(name.slice(prefix.length))]));
}

/** Blocks take SiLU(time embedding), computed once for all of them; the case stores the time embedding (N, D). */
function siluTokens(gpu: Gpu, golden: Golden, name: string): Tensor {
  const { shape, data } = tensorOf(golden, name);
  return gpu.tensor([shape[0]!, 1, shape[1]!], name, Float32Array.from(data, (v) => v / (1 + Math.exp(-v))));
}

function sinusoids(golden: Golden): Computed {
  const computed: Computed = new Map();
  const { data } = tensorOf(golden, "timesteps");
  for (const name of Object.keys(golden.case.tensors)) {
    const match = name.match(/^(?:exact\.)?dim(\d+)\.(cos|sin)_first$/);
    if (!match) continue;
    const options = { flipSinToCos: match[2] === "cos", freqShift: match[2] === "cos" ? 0 : 1 };
    computed.set(name, Array.from(data).flatMap((t) => [...timestepEmbedding(t, Number(match[1]), options)]));
  }
  return computed;
}

async function timeEmbedding(...[gpu, golden]: Parameters<CaseRunner>): Promise<Computed> {
  const { weights, config } = golden.case;
  const { prefixes: [prefix], seed } = weights!;
  const channels = config!["block_out_channels"][0] as number, out = 4 * channels;
  const times = Array.from(tensorOf(golden, "timesteps").data);
  const options = { flipSinToCos: true, freqShift: 0 };
  const values = times.flatMap((t) => [...timestepEmbedding(t, channels, options)]);
  const sinusoid = gpu.tensor([times.length, 1, channels], "sinusoid", Float32Array.from(values));
  const table = weight(`${prefix}class_embedding.weight`, [config!["num_class_embeds"], out], seed);
  const build = (w: Weights) => new TimestepEmbedding(w, { in: channels, out });
  const from = { case: golden.case, prefix: `${prefix}time_embedding.`, build };
  return await withGenerated(gpu, from, (embedding) => {
    return compute(gpu, (rec) =>
      forEachOutput(golden, "y", (name) => {
        if (name === "") return embedding.forward(rec, sinusoid);
        const label = Number(name.replace("_class", ""));
        const row = [...table.slice(label * out, (label + 1) * out)];
        const rows = Float32Array.from(times.flatMap(() => row));
        const classEmbedding = gpu.tensor([times.length, 1, out], `class ${label}`, rows);
        return embedding.forward(rec, sinusoid, { classEmbedding });
      }));
  });
}

function pilBicubic(golden: Golden): Computed {
  const computed: Computed = new Map();
  const u8 = tensorOf(golden, "u8.x"), float = tensorOf(golden, "x");
  const [channels = 1, height = 1, width = 1] = u8.shape;
  for (const name of Object.keys(golden.case.tensors)) {
    const match = name.match(/^(u8|float)\.(\d+)x(\d+)$/);
    if (!match) continue;
    const options = { channels, height, width, outHeight: Number(match[2]), outWidth: Number(match[3]) };
    computed.set(
      name,
      match[1] === "u8"
        ? resizeBicubicU8(u8.data as Uint8Array, options)
        : resizeBicubic(float.data as Float32Array, options),
    );
  }
  return computed;
}
