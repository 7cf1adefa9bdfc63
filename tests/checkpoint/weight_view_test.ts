import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import { MemorySource } from "./_memory_source.ts";

function zeros(...shape: number[]): { shape: number[]; data: Float32Array } {
  return { shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) };
}

const drop = { use: () => {} };

Deno.test("WeightView.load() hands each tensor to its layer, one after another", async () => {
  const source = new MemorySource({
    "down.0.conv.weight": { shape: [1, 2], data: [1, 2] },
    "down.0.conv.bias": { shape: [1], data: [3] },
    "out": { shape: [1, 1, 1, 2], data: [4, 5] },
  });
  const got: Record<string, number[]> = {};
  const view = new WeightView(source);
  const conv = view.at("down").at(0).at("conv");
  let waiting = false;
  conv.tensor("bias", [1], {
    use: async ({ values }) => {
      waiting = true;
      await new Promise((resolve) => setTimeout(resolve, 1));
      waiting = false;
      got.bias = [...values];
    },
  });
  conv.tensor("weight", [1, 2], {
    use: ({ values }) => {
      assert.equal(waiting, false);
      got.weight = [...values];
    },
  });
  view.tensor("out", [1, 1, 1, 2], { use: ({ values }) => void (got.out = [...values]) });
  assert.deepEqual([view.has("out"), conv.has("bias"), conv.has("out")], [true, true, false]);
  assert.deepEqual(source.reads, []);
  await view.load();
  assert.deepEqual(got, { weight: [1, 2], bias: [3], out: [4, 5] });
  assert.deepEqual(source.reads, ["down.0.conv.bias", "down.0.conv.weight", "out"]);
});

Deno.test("WeightView.load() lists missing, misshapen and unexpected tensors in one error and reads none", async () => {
  const source = new MemorySource(
    {
      "a.weight": zeros(4, 3),
      "b": zeros(2),
      "more.x": zeros(5),
      "encoder.y": zeros(1),
      "encoderz": zeros(1),
    },
    "unet/model.safetensors",
  );
  const view = new WeightView(source);
  view.at("a").tensor("weight", [4, 7], drop);
  view.at("a").tensor("bias", [4], drop);
  view.tensor("b", [2], drop);
  view.ignore("encoder");
  await assert.rejects(view.load(), (error: Error) => {
    assert.ok(error instanceof CheckpointError);
    assert.deepEqual(error.problems, [
      'misshapen: "a.weight", found [4, 3], wanted [4, 7]',
      'missing: "a.bias", wanted [4]',
      'unexpected: "more.x", found [5]',
      'unexpected: "encoderz", found [1]',
    ]);
    assert.match(
      error.message,
      /^Cannot load "unet\/model\.safetensors": its tensors do not fit its configuration; take both from one model/,
    );
    for (const problem of error.problems) assert.ok(error.message.includes(problem));
    return true;
  });
  assert.deepEqual(source.reads, []);
});

Deno.test("WeightView.load() refuses tensors that are no floats of 16 or 32 bits, unless nobody asks for them", async () => {
  const dtypes = ["F64", "I64", "C64", "U8", "F8_E4M3", "F32", "F16", "BF16"];
  const source = new MemorySource({
    ...Object.fromEntries(dtypes.map((dtype) => [`${dtype}.weight`, { ...zeros(1), dtype }])),
    "norm.num_batches_tracked": { shape: [], dtype: "I64", data: [1] },
  });
  const view = new WeightView(source);
  for (const dtype of dtypes) view.tensor(`${dtype}.weight`, [1], drop);
  view.tensor("other", [2], drop);
  assert.deepEqual(view.problems(), [
    ...dtypes.slice(0, 5).map((dtype) =>
      `mistyped: "${dtype}.weight", found ${dtype}, wanted F32, F16 or BF16`
    ),
    'missing: "other", wanted [2]',
  ]);
  await assert.rejects(view.load(), (error: Error) => {
    assert.deepEqual((error as CheckpointError).problems, view.problems());
    return true;
  });
  assert.deepEqual(source.reads, []);
});

Deno.test("WeightView.load() counts what its message does not show", async () => {
  const tensors = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`t${i}`, zeros(1)]));
  await assert.rejects(new WeightView(new MemorySource(tensors)).load(), (error: Error) => {
    assert.equal((error as CheckpointError).problems.length, 150);
    assert.match(error.message, /"t99", found \[1\]\n {2}and 50 more$/);
    return true;
  });
});

Deno.test("WeightView.load() takes old names of a VAE's attention and 1×1 convolutions for linear layers", async () => {
  const old: Record<string, ReturnType<typeof zeros>> = {};
  const names = ["query", "key", "value", "proj_attn"];
  for (const [i, name] of names.entries()) {
    old[`mid.attentions.0.${name}.weight`] = {
      shape: i % 2 ? [2, 2] : [2, 2, 1, 1],
      data: Float32Array.of(i, 1, 2, 3),
    };
    old[`mid.attentions.0.${name}.bias`] = zeros(2);
  }
  const source = new MemorySource(old);
  const view = new WeightView(source);
  const attention = view.at("mid.attentions.0");
  const first: number[] = [];
  for (const name of ["to_q", "to_k", "to_v", "to_out.0"]) {
    assert.ok(attention.at(name).has("weight"));
    attention.at(name).tensor("weight", [2, 2], { use: ({ values }) => void first.push(values[0]!) });
    attention.at(name).tensor("bias", [2], drop);
  }
  await view.load();
  assert.deepEqual(first, [0, 1, 2, 3]);
  assert.deepEqual(
    source.reads.filter((_, i) => i % 2 === 0),
    names.map((name) => `mid.attentions.0.${name}.weight`),
  );
});

Deno.test("WeightView.load() does not take a 3×3 convolution, a 4-D want or a deeper old name", async () => {
  const view = new WeightView(
    new MemorySource({
      a: zeros(2, 2, 3, 3),
      b: zeros(2, 2),
      "attentions.0.attn1.query.weight": zeros(2, 2),
    }),
  );
  view.tensor("a", [2, 2], drop);
  view.tensor("b", [2, 2, 1, 1], drop);
  view.at("attentions.0.attn1.to_q").tensor("weight", [2, 2], drop);
  await assert.rejects(view.load(), (error: Error) => {
    assert.deepEqual((error as CheckpointError).problems, [
      'misshapen: "a", found [2, 2, 3, 3], wanted [2, 2]',
      'misshapen: "b", found [2, 2], wanted [2, 2, 1, 1]',
      'missing: "attentions.0.attn1.to_q.weight", wanted [2, 2]',
      'unexpected: "attentions.0.attn1.query.weight", found [2, 2]',
    ]);
    return true;
  });
});

Deno.test("WeightView.load() leaves batch norms' training counters alone", async () => {
  const source = new MemorySource({ "norm.num_batches_tracked": { shape: [], data: [1] } });
  await new WeightView(source).load();
  assert.deepEqual(source.reads, []);
});

Deno.test("WeightView refuses a second request, a second load() and a late request", async () => {
  const view = new WeightView(new MemorySource({ a: zeros(1) }));
  view.tensor("a", [1], drop);
  assert.throws(() => view.tensor("a", [1], drop), /Cannot ask for tensor "a" twice/);
  await view.load();
  assert.throws(() => view.tensor("b", [1], drop), /the weights are loaded already/);
  await assert.rejects(view.load(), /Cannot load weights of "memory" twice/);
});
