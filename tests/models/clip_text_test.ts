import assert from "node:assert/strict";
import { type CLIPTextConfig, parseCLIPTextConfig } from "../../src/checkpoint/clip_text_config.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { CLIPTextModel } from "../../src/models/clip_text.ts";
import { Weights } from "../../src/nn/weights.ts";
import { MemorySource } from "../checkpoint/_memory_source.ts";
import { gpuTest } from "../_gpu_test.ts";
import { generatedWeights } from "../generated_weights.ts";

const CONFIG: CLIPTextConfig = {
  vocab_size: 50,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 9,
  hidden_act: "gelu",
  layer_norm_eps: 1e-5,
};

gpuTest("CLIPTextModel encodes a prompt alike, whatever is beside it or comes after", async (gpu) => {
  const alone = await encode(gpu, [[3, 1, 4, 1, 5]]);
  const [first, second] = halves(await encode(gpu, [[2, 7, 1, 8, 2], [3, 1, 4, 1, 5]]));
  assert.deepEqual(second, alone);
  assert.notDeepEqual(first, alone);
  const longer = await encode(gpu, [[3, 1, 4, 1, 5, 49]]);
  assert.deepEqual(longer.slice(0, 5 * 16), alone);
});

gpuTest("CLIPTextModel keeps only the rows of its prompts on the GPU", async (gpu) => {
  const bytes = async (vocab_size: number, prompts: number[][]) => {
    const weights = generatedWeights(gpu, { prefix: "text_encoder." });
    new CLIPTextModel(weights, { ...CONFIG, vocab_size }, prompts);
    await weights.load();
    const { byteLength } = weights;
    weights.free();
    return byteLength;
  };
  const small = await bytes(50, [[0, 49]]);
  assert.equal(await bytes(5000, [[0, 49]]), small);
  // Token and position rows of 16 f32 for two more tokens.
  assert.equal(await bytes(50, [[0, 49], [1, 2]]), small + 2 * 2 * 16 * 4);
});

Deno.test("CLIPTextModel wants transformers' tensors, and leaves position_ids in the file", () => {
  const source = new MemorySource({
    "text_model.embeddings.position_ids": { shape: [1, 9], dtype: "I64", data: Array(9).fill(0) },
  });
  const view = new WeightView(source);
  new CLIPTextModel(new Weights({ facts: {} } as Gpu, view, "text_encoder"), CONFIG, [[1]]);
  const problems = view.problems();
  assert.equal(problems.length, 2 + 2 * 16 + 2);
  const layer = "text_model.encoder.layers.1";
  for (
    const wanted of [
      'missing: "text_model.embeddings.token_embedding.weight", wanted [50, 16]',
      'missing: "text_model.embeddings.position_embedding.weight", wanted [9, 16]',
      `missing: "${layer}.self_attn.out_proj.bias", wanted [16]`,
      `missing: "${layer}.mlp.fc1.weight", wanted [24, 16]`,
      `missing: "${layer}.layer_norm2.weight", wanted [16]`,
      'missing: "text_model.final_layer_norm.weight", wanted [16]',
    ]
  ) assert.ok(problems.includes(wanted), wanted);
});

Deno.test("CLIPTextModel refuses prompts that it cannot encode", () => {
  const build = (prompts: number[][], config = CONFIG) => () =>
    new CLIPTextModel(
      new Weights({ facts: {} } as Gpu, new WeightView(new MemorySource({})), "text_encoder"),
      config,
      prompts,
    );
  const lengths = (found: string) =>
    new RangeError(
      `Cannot encode prompts of [${found}] tokens: one or more of one length from 1 to 9 wanted`,
    );
  assert.throws(build([]), lengths(""));
  assert.throws(build([[]]), lengths("0"));
  assert.throws(build([[1, 2], [1]]), lengths("2,1"));
  assert.throws(build([Array(10).fill(1)]), lengths("10"));
  for (const id of [50, -1, 1.5, NaN]) {
    assert.throws(
      build([[1, id]]),
      new RangeError(`Cannot encode token ${id}: a whole number from 0 to 49 wanted`),
    );
  }
});

Deno.test("The largest CLIPTextModel of any configuration has no weight of 2 GiB, and is built without memory", () => {
  const config = parseCLIPTextConfig({
    vocab_size: 131_071,
    hidden_size: 4096,
    intermediate_size: 16_384,
    num_hidden_layers: 64,
    num_attention_heads: 256,
    max_position_embeddings: 1024,
  }, "f.json");
  const view = new WeightView(new MemorySource({}));
  new CLIPTextModel(new Weights({ facts: {} } as Gpu, view, "text_encoder"), config, [[1]]);
  const sizes = view.problems().map((problem) => {
    const shape = /wanted \[([\d, ]+)\]$/.exec(problem)![1]!;
    return 4 * shape.split(", ").reduce((product, size) => product * Number(size), 1);
  });
  assert.equal(sizes.length, 2 + 64 * 16 + 2);
  assert.ok(Math.max(...sizes) < 2 ** 31, `${Math.max(...sizes)} bytes`);
});

async function encode(gpu: Gpu, prompts: number[][]): Promise<Float32Array> {
  const weights = generatedWeights(gpu, { prefix: "text_encoder." });
  try {
    const encoder = new CLIPTextModel(weights, CONFIG, prompts);
    await weights.load();
    const rec = new Recorder(gpu);
    const y = encoder.forward(rec);
    using plan = await rec.finish([y]);
    gpu.submit((encoder) => plan.encode(encoder));
    return await gpu.read(y);
  } finally {
    weights.free();
  }
}

function halves(values: Float32Array): [Float32Array, Float32Array] {
  return [values.slice(0, values.length / 2), values.slice(values.length / 2)];
}
