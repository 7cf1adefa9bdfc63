import assert from "node:assert/strict";
import { MissingModelError } from "../../src/checkpoint/errors.ts";
import { type LocateOptions, locateWeights } from "../../src/checkpoint/locate_weights.ts";
import { openWeights } from "../../src/checkpoint/weight_source.ts";
import { withFolder, zeroTensors } from "./_safetensors_bytes.ts";

/** What `locateWeights` says of a part that holds empty files of these names: a name in the part, or its problem. */
async function located(names: readonly string[], options?: LocateOptions): Promise<string> {
  let result = "";
  await withFolder(async (root) => {
    await Deno.mkdir(`${root}/unet`);
    for (const name of names) await Deno.writeTextFile(`${root}/unet/${name}`, "");
    try {
      result = (await locateWeights(root, "unet", options)).replace("unet/", "");
    } catch (error) {
      assert.ok(error instanceof MissingModelError, (error as Error).stack);
      assert.equal(error.problems.length, 1);
      result = error.problems[0]!;
    }
  });
  return result;
}

for (
  const name of [
    "diffusion_pytorch_model.fp16.safetensors",
    "model.bf16.safetensors",
    "diffusion_pytorch_model.non_ema.safetensors",
    "diffusion_pytorch_model.fp16.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
  ]
) {
  Deno.test(`locateWeights() takes ${name} where there is no plain name, and the plain one else`, async () => {
    const shard = "diffusion_pytorch_model.fp16-00001-of-00002.safetensors";
    assert.equal(await located(["config.json", name, shard]), name);
    const index = "model.safetensors.index.json";
    assert.equal(await located([name, index]), index);
    assert.equal(await located([name, index, "model.safetensors"]), "model.safetensors");
  });
}

Deno.test("locateWeights() names all variants where it cannot choose", async () => {
  assert.equal(
    await located(["model.fp16.safetensors", "model.bf16.safetensors"]),
    'unet: "model.bf16.safetensors", "model.fp16.safetensors", wanted one of them or ' +
      '"diffusion_pytorch_model.safetensors"; rename the one to use to the latter, or leave it alone there',
  );
});

Deno.test("locateWeights() names what is there where none fits, and says what to do", async () => {
  assert.equal(
    await located(["notes.txt"]),
    `unet: no "diffusion_pytorch_model.safetensors": copy it from the model's source`,
  );
  assert.equal(
    await located(["diffusion_pytorch_model.bin", "model.ckpt", "a.pth"]),
    'unet: no "diffusion_pytorch_model.safetensors" but "a.pth", "diffusion_pytorch_model.bin", "model.ckpt"; only ' +
      'safetensors of that name, with or without a variant as in "model.fp16.safetensors" are read: get such a file ' +
      "from the model's source, or make one with safetensors.torch.save_file",
  );
  assert.match(
    await located(["unet.safetensors", "model.ckpt"]),
    /but "model\.ckpt", "unet\.safetensors"; only safetensors of that name, .* are read: rename the file$/,
  );
});

Deno.test("locateWeights() takes a .pth file only where told to, and only one", async () => {
  const torch = { torch: true };
  assert.equal(await located(["raft_large.pth"], torch), "raft_large.pth");
  assert.equal(await located(["raft_large.pt", "model.fp16.safetensors"], torch), "model.fp16.safetensors");
  assert.match(await located(["a.pth", "b.pth"], torch), /^unet: "a\.pth", "b\.pth", wanted one of them or/);
  assert.match(await located(["a.pth"]), /but "a\.pth"; only safetensors/);
  assert.match(
    await located(["a.bin"], torch),
    /but "a\.bin"; only safetensors .*, and \.pth files are read/,
  );
});

Deno.test("openWeights() reads the shards of a variant", async () => {
  await withFolder(async (root) => {
    await Deno.mkdir(`${root}/unet`);
    const shard = "diffusion_pytorch_model.fp16-00001-of-00001.safetensors";
    await Deno.writeFile(`${root}/unet/${shard}`, zeroTensors({ a: [2] }));
    const index = `${root}/unet/diffusion_pytorch_model.safetensors.index.fp16.json`;
    await Deno.writeTextFile(index, JSON.stringify({ weight_map: { a: shard } }));
    using weights = await openWeights(root, "unet");
    assert.deepEqual(await weights.read("a"), new Float32Array(2));
  });
});

Deno.test("locateWeights() wants the text encoder's weights under the name that transformers gives them", async () => {
  await withFolder(async (root) => {
    await assert.rejects(
      locateWeights(root, "text_encoder"),
      /text_encoder: no "model\.safetensors": copy it/,
    );
  });
});

Deno.test("locateWeights() says so where there is no such folder", async () => {
  await withFolder(async (root) => {
    await assert.rejects(
      locateWeights(root, "nowhere"),
      /^MissingModelError: Cannot find weights\n {2}nowhere: no "diffusion_pytorch_model\.safetensors": copy it from the model's source$/,
    );
  });
});
