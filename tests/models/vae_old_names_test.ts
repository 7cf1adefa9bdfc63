import assert from "node:assert/strict";
import { parseVAEConfig } from "../../src/checkpoint/vae_config.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import { VAEDecoder } from "../../src/models/vae.ts";
import { Weights } from "../../src/nn/weights.ts";
import { gpuTest } from "../_gpu_test.ts";
import { MemorySource } from "../checkpoint/_memory_source.ts";

const OLD: Readonly<Record<string, string>> = {
  to_q: "query",
  to_k: "key",
  to_v: "value",
  "to_out.0": "proj_attn",
};
const config = parseVAEConfig(
  { block_out_channels: [8], norm_num_groups: 2, layers_per_block: 1 },
  "vae",
);

gpuTest(
  "VAEDecoder takes a checkpoint whose attention has the names and shapes of older diffusers",
  async (gpu) => {
    const nothing = new WeightView(new MemorySource({}));
    new VAEDecoder(new Weights(gpu, nothing, "vae"), config);
    const wanted = nothing.problems().map((problem) => /^missing: "(.*)", wanted (.*)$/.exec(problem)!);
    let renamed = 0;
    const old = wanted.map(([, name = "", size = ""]) => {
      const older = name.replace(/(?<=attentions\.0\.)(to_[qkv]|to_out\.0)/, (key) => OLD[key]!);
      const shape: number[] = JSON.parse(size);
      if (older !== name) renamed++;
      if (older !== name && shape.length === 2) shape.push(1, 1);
      return [older, {
        shape,
        data: new Float32Array(shape.reduce((product, n) => product * n, 1)),
      }] as const;
    });
    assert.equal(renamed, 8);
    const source = new MemorySource(Object.fromEntries(old));
    const weights = new Weights(gpu, new WeightView(source), "vae");
    new VAEDecoder(weights, config);
    await weights.load();
    assert.deepEqual([...source.reads].sort(), old.map(([name]) => name).sort());
    weights.free();
  },
);
