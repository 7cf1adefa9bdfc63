// Our kernels as a contestant. Usage: ours_peer.ts winograd|direct

import { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { attention } from "../../src/kernels/attention.ts";
import { conv2d, packConv2dWeight, packedConv2dShape } from "../../src/kernels/conv2d.ts";
import { packPanels } from "../../src/kernels/panels.ts";
import { gemm } from "../../src/kernels/gemm.ts";
import { winogradConv2d, winogradFilter, winogradFilterShape } from "../../src/kernels/winograd.ts";
import { weightTensor } from "../weight_tensor.ts";
import { permute } from "./permute.ts";
import { type Chain, type Peer, serve } from "./serve.ts";
import type { Input, Inputs, Work } from "./work.ts";

/** A chain's pieces: the tensor it starts from, one link, and how `read()` puts the axes back. */
interface Layer {
  readonly x: Tensor;
  readonly constants: readonly Tensor[];
  link(rec: Recorder, x: Tensor): Tensor;
  restore(y: Float32Array): Float32Array;
}

const direct = Deno.args[0] === "direct";
await serve(open);

async function open(): Promise<Peer> {
  const gpu = await Gpu.open({ allowCpu: true });
  const { description, subgroupSize } = gpu.facts;
  return {
    about: `${description}, subgroups of ${subgroupSize}`,
    async prepare(work: Work, { inputs, links }): Promise<Chain> {
      const layer = await makeLayer(gpu, work, inputs);
      const rec = new Recorder(gpu);
      let y = layer.x;
      for (let i = 0; i < links; i++) y = layer.link(rec, y);
      const plan = await rec.finish([y]);
      return {
        async run() {
          gpu.submit((encoder) => plan.encode(encoder));
          await gpu.done();
        },
        read: async () => layer.restore(await gpu.read(y)),
        free() {
          plan.destroy();
          for (const tensor of [layer.x, ...layer.constants]) gpu.free(tensor);
        },
      };
    },
  };
}

async function makeLayer(gpu: Gpu, work: Work, inputs: Inputs): Promise<Layer> {
  const x = inputs.x!, label = work.kind;
  switch (work.kind) {
    case "conv2d": {
      const { channels, size } = work, shape = [1, size, size, channels];
      const weight = weightTensor(gpu, packedConv2dShape(inputs.w!.shape), {
        label: "weight",
        data: packConv2dWeight(inputs.w!.data, inputs.w!.shape),
      });
      const filter = direct ? null : await transformFilter(gpu, weight);
      return {
        x: gpu.tensor(shape, "x", permute(x.data, { shape: x.shape, order: [1, 2, 0] })),
        constants: filter ? [weight, filter] : [weight],
        link: (rec, x) =>
          filter
            ? winogradConv2d(rec, x, { filter, label })
            : conv2d(rec, x, { weight, kernel: [3, 3], padding: 1, label }),
        restore: (y) => permute(y, { shape: shape.slice(1), order: [2, 0, 1] }),
      };
    }
    case "gemm": {
      const { shape: [rows = 1, columns = 1], data } = inputs.w!;
      const a = gpu.tensor([1, ...x.shape], "left", x.data);
      const b = weightTensor(gpu, [1, rows, columns], {
        label: "right",
        data: packPanels(data, { rows, columns }),
      });
      return { x: a, constants: [b], link: (rec, x) => gemm(rec, x, b, { label }), restore: (y) => y };
    }
    case "attention": {
      const { heads, tokens, headChannels } = work;
      const [q, k, v] = [x, inputs.k!, inputs.v!].map((input) => uploadTokens(gpu, input));
      return {
        x: q!,
        constants: [k!, v!],
        link: (rec, x) => attention(rec, x, k!, v!, { heads, label }),
        restore: (y) => permute(y, { shape: [tokens, heads, headChannels], order: [1, 0, 2] }),
      };
    }
  }
}

async function transformFilter(gpu: Gpu, weight: Tensor): Promise<Tensor> {
  const filter = weightTensor(gpu, winogradFilterShape(weight.size(1), weight.size(2)), { label: "filter" });
  const rec = new Recorder(gpu);
  winogradFilter(rec, [weight], { filter, label: "filter" });
  using plan = await rec.finish([]);
  gpu.submit((encoder) => plan.encode(encoder));
  await gpu.done();
  return filter;
}

/** [heads, tokens, channels] as a tensor [1, tokens, heads · channels]. */
function uploadTokens(gpu: Gpu, { data, shape: [heads, tokens, channels] }: Input): Tensor {
  const reordered = permute(data, { shape: [heads!, tokens!, channels!], order: [1, 0, 2] });
  return gpu.tensor([1, tokens!, heads! * channels!], "tokens", reordered);
}
