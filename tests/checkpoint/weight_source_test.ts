import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { openWeights } from "../../src/checkpoint/weight_source.ts";
import { withFolder, zeroTensors } from "./_safetensors_bytes.ts";

const INDEX = "model.safetensors.index.json";

/** A model folder `root/model` with part `unet`, beside which other things may lie. */
async function withPart(use: (root: string, part: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/model/unet`, { recursive: true });
    await use(`${folder}/model`, `${folder}/model/unet`);
  });
}

for (const name of ["diffusion_pytorch_model.safetensors", "model.safetensors"]) {
  Deno.test(`openWeights() finds ${name}`, async () => {
    await withPart(async (root, part) => {
      await Deno.writeFile(`${part}/${name}`, zeroTensors({ a: [2, 3], b: [1] }));
      using weights = await openWeights(root, "unet");
      assert.deepEqual([...weights.names()], ["a", "b"]);
      assert.deepEqual(weights.shape("a"), [2, 3]);
      assert.equal(weights.shape("c"), undefined);
      assert.deepEqual([weights.has("b"), weights.has("c")], [true, false]);
      assert.deepEqual(await weights.read("a"), new Float32Array(6));
      await assert.rejects(weights.read("c"), /Cannot read tensor "c"/);
      assert.equal(weights.description, `unet/${name}`);
    });
  });
}

Deno.test("openWeights() reads shards that the index lists", async () => {
  await withPart(async (root, part) => {
    await Deno.writeFile(`${part}/m-1.safetensors`, zeroTensors({ a: [1], b: [2] }));
    await Deno.writeFile(`${part}/m-2.safetensors`, zeroTensors({ c: [3] }));
    const map = { a: "m-1.safetensors", b: "m-1.safetensors", c: "m-2.safetensors" };
    await Deno.writeTextFile(
      `${part}/${INDEX}`,
      JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }),
    );
    using weights = await openWeights(root, "unet");
    assert.deepEqual([...weights.names()], ["a", "b", "c"]);
    assert.equal((await weights.read("c")).length, 3);
  });
});

Deno.test(
  "openWeights() lists every tensor on which index and shards differ",
  { sanitizeResources: true },
  async () => {
    await withPart(async (root, part) => {
      await Deno.writeFile(`${part}/m-1.safetensors`, zeroTensors({ a: [1], twice: [1], extra: [1] }));
      await Deno.writeFile(`${part}/m-2.safetensors`, zeroTensors({ twice: [1] }));
      const map = { a: "m-1.safetensors", twice: "m-2.safetensors", gone: "m-2.safetensors" };
      await Deno.writeTextFile(`${part}/${INDEX}`, JSON.stringify({ weight_map: map }));
      await assert.rejects(openWeights(root, "unet"), (error: Error) => {
        assert.ok(error instanceof CheckpointError);
        assert.deepEqual(error.problems, [
          '"gone" is not in "m-2.safetensors"',
          '"twice" is in "m-1.safetensors", but listed in "m-2.safetensors"',
          '"extra" is in "m-1.safetensors", but listed nowhere',
        ]);
        return true;
      });
    });
  },
);

for (
  const shard of [
    "../secret.safetensors",
    "a/../../secret.safetensors",
    "/etc/secret.safetensors",
    "..\\secret.safetensors",
    ".safetensors",
    ".hidden.safetensors",
    "model.bin",
    "s.safetensors\n",
    `${"n".repeat(255)}.safetensors`,
    "",
    7,
    null,
  ]
) {
  Deno.test(`openWeights() refuses shard name ${JSON.stringify(shard).slice(0, 40)}`, async () => {
    await withPart(async (root, part) => {
      await Deno.writeFile(`${root}/secret.safetensors`, zeroTensors({ a: [1] }));
      await Deno.writeTextFile(`${part}/${INDEX}`, JSON.stringify({ weight_map: { a: shard } }));
      await assert.rejects(openWeights(root, "unet"), (error: Error) => {
        assert.ok(error instanceof CheckpointError);
        assert.match(error.message, /shard .*, wanted a plain file name/);
        return true;
      });
    });
  });
}

for (
  const [name, index, message] of [
    ["without weight_map", "{}", /weight_map is undefined, wanted an object/],
    ["that is null", "null", /weight_map is undefined, wanted an object/],
    ["that is not JSON", "{", /not valid JSON/],
    [
      "that lists a tensor twice",
      '{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}',
      /"a" appears twice/,
    ],
    ["whose shard is missing", '{"weight_map":{"a":"x.safetensors"}}', /no "unet\/x\.safetensors"/],
  ] as const
) {
  Deno.test(`openWeights() refuses an index ${name}`, async () => {
    await withPart(async (root, part) => {
      await Deno.writeTextFile(`${part}/${INDEX}`, index);
      await assert.rejects(openWeights(root, "unet"), message);
    });
  });
}

Deno.test("openWeights() refuses an index of 257 shards before it opens one, and one over 16 MiB", async () => {
  await withPart(async (root, part) => {
    const map = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`t${i}`, `${i}.safetensors`]));
    await Deno.writeTextFile(`${part}/${INDEX}`, JSON.stringify({ weight_map: map }));
    await assert.rejects(
      openWeights(root, "unet"),
      /index\.json": 257 shards, wanted at most 256; merge them$/,
    );
    await Deno.truncate(`${part}/${INDEX}`, 2 ** 24 + 1);
    await assert.rejects(openWeights(root, "unet"), /index\.json: 16777217 bytes, wanted at most 16777216$/);
  });
});

Deno.test("openWeights() lists every shard name that is not allowed, escaped", async () => {
  await withPart(async (root, part) => {
    const map = { a: "../a.safetensors", b: "b.safetensors", c: "\u001b[2J\u202e.safetensors" };
    await Deno.writeTextFile(`${part}/${INDEX}`, JSON.stringify({ weight_map: map }));
    await assert.rejects(openWeights(root, "unet"), (error: Error) => {
      assert.deepEqual((error as CheckpointError).problems, [
        'shard "../a.safetensors", wanted a plain file name that ends in .safetensors',
        'shard "\\u001b[2J\\u{202e}.safetensors", wanted a plain file name that ends in .safetensors',
      ]);
      return true;
    });
  });
});

Deno.test("openWeights() refuses a shard that links out of the model folder, or that is a pipe", async () => {
  await withPart(async (root, part) => {
    await Deno.writeFile(`${root}/../secret`, zeroTensors({ a: [1] }));
    await Deno.symlink("../../secret", `${part}/s.safetensors`);
    await Deno.writeTextFile(`${part}/${INDEX}`, JSON.stringify({ weight_map: { a: "s.safetensors" } }));
    await assert.rejects(openWeights(root, "unet"), (error: Error) => {
      assert.match(
        error.message,
        /^Cannot read "unet\/s\.safetensors": it leads outside the model folder ".*\/model"; put/,
      );
      return true;
    });
    if (Deno.build.os === "windows") return; // has no such files
    await Deno.remove(`${part}/s.safetensors`);
    const made = await new Deno.Command("mkfifo", { args: [`${part}/s.safetensors`] }).output();
    assert.ok(made.success);
    await assert.rejects(openWeights(root, "unet"), /"unet\/s\.safetensors": it is not a regular file; put/);
  });
});

Deno.test("openWeights() refuses links that lead out of the model folder, at any level", async () => {
  await withPart(async (root, part) => {
    const outside = `${root}/../outside`;
    await Deno.mkdir(outside);
    await Deno.writeFile(`${outside}/model.safetensors`, zeroTensors({ a: [1] }));
    await Deno.symlink(`${outside}/model.safetensors`, `${part}/model.safetensors`);
    await assert.rejects(
      openWeights(root, "unet"),
      /"unet\/model\.safetensors": it leads outside the model folder/,
    );
    await Deno.symlink(outside, `${root}/vae`);
    await assert.rejects(
      openWeights(root, "vae"),
      /"vae\/model\.safetensors": it leads outside the model folder/,
    );
    await Deno.mkdir(`${root}2`); // a sibling whose path begins with the root's
    await Deno.writeFile(`${root}2/model.safetensors`, zeroTensors({ a: [1] }));
    await Deno.symlink(`${root}2`, `${root}/flow`);
    await assert.rejects(openWeights(root, "flow"), /it leads outside the model folder/);
  });
});

Deno.test("openWeights() follows links inside the model folder, and a hub cache's into its blobs", async () => {
  await withPart(async (root, part) => {
    await Deno.writeFile(`${root}/shared`, zeroTensors({ a: [1] }));
    await Deno.symlink("../shared", `${part}/model.safetensors`);
    using inside = await openWeights(root, "unet");
    assert.deepEqual([...inside.names()], ["a"]);

    const cache = `${root}/../models--x`;
    await Deno.mkdir(`${cache}/blobs`, { recursive: true });
    await Deno.mkdir(`${cache}/snapshots/1/unet`, { recursive: true });
    await Deno.writeFile(`${cache}/blobs/0123`, zeroTensors({ b: [1] }));
    await Deno.symlink("../../../blobs/0123", `${cache}/snapshots/1/unet/model.safetensors`);
    using hub = await openWeights(`${cache}/snapshots/1`, "unet");
    assert.deepEqual([...hub.names()], ["b"]);
  });
});

Deno.test("openWeights() refuses a folder in place of a file", async () => {
  await withPart(async (root, part) => {
    await Deno.mkdir(`${part}/model.safetensors`);
    await assert.rejects(openWeights(root, "unet"), /it is not a regular file/);
  });
});
