import assert from "node:assert/strict";
import { join } from "node:path";
import type { AdapterFacts, TuningAnswer } from "../../src/gpu/device.ts";
import { keepTuning, openTuning, type TuningOptions } from "../../src/vsr/tuning_cache.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { signalFrame } from "./_signal_frame.ts";

const CARD: AdapterFacts = {
  description: "card",
  vendor: "4318",
  architecture: "",
  software: false,
  subgroupSize: 32,
  timestamps: true,
  float16: true,
  maxBindingBytes: 2 ** 27,
  maxBufferBytes: 2 ** 28,
  maxTextureRows: 16_384,
  maxWorkgroupBytes: 16384,
  maxInvocations: 256,
};
const SOFTWARE = { ...CARD, software: true };
const ANSWERS: [string, TuningAnswer][] = [
  ["gemm f32 36x64x32x32", { variant: "gemm[TM=8]", among: "0123456789abcdef" }],
  ["attention 1x64x32 to 77 in 2", { variant: "attention[QUERIES=16]", among: "fedcba9876543210" }],
];

/** Keeps answers as a run on `facts` that found them would. */
async function keep(options: TuningOptions, answers = ANSWERS, facts = CARD): Promise<void> {
  await keepTuning({ answers: new Map(answers), budgetMs: 0 }, { facts, options });
}

async function read(options: TuningOptions, facts = CARD): Promise<[string, TuningAnswer][]> {
  return [...(await openTuning(facts, options)).answers];
}

/** The only file in a folder. */
function onlyFile(folder: string): string {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  assert.equal(names.length, 1, `${names}`);
  return join(folder, names[0]!);
}

/** Reports no error, or fails. */
function unexpected(error: Error): void {
  throw error;
}

Deno.test("openTuning() measures on hardware that can time its work, elsewhere only if forced", async () => {
  const blind = { ...CARD, timestamps: false };
  async function budget(facts: AdapterFacts, mode: TuningOptions["mode"]): Promise<number> {
    return (await openTuning(facts, { mode })).budgetMs;
  }
  assert.equal(await budget(CARD, undefined), 1500);
  assert.equal(await budget(CARD, "auto"), 1500);
  assert.equal(await budget(CARD, "force"), 10_000);
  assert.equal(await budget(SOFTWARE, "force"), 10_000);
  for (const facts of [CARD, SOFTWARE, blind]) assert.equal(await budget(facts, "off"), 0);
  for (const facts of [SOFTWARE, blind]) assert.equal(await budget(facts, "auto"), 0);
  await assert.rejects(budget(blind, "force"), {
    name: "NoAdapterError",
    message: 'Cannot force tuning on "card": it has no timestamp queries. Choose tuning "auto" or "off"',
  });
});

Deno.test("keepTuning() keeps answers for openTuning(), in a folder that it makes", () =>
  withTempDir(async (dir) => {
    const options = { cacheFolder: join(dir, "a", "b"), onCacheError: unexpected };
    assert.deepEqual(await read(options), []);
    await keep(options);
    assert.deepEqual(await read(options), ANSWERS);
    assert.deepEqual(await read({ ...options, mode: "off" }), []);
    assert.deepEqual(await read({ ...options, mode: "force" }), []);
  }));

Deno.test("keepTuning() adds to what others kept, and replaces what was measured anew", () =>
  withTempDir(async (dir) => {
    const options = { cacheFolder: dir, onCacheError: unexpected };
    const [[key, answer], other] = ANSWERS as [typeof ANSWERS[number], typeof ANSWERS[number]];
    await keep(options, [[key, { ...answer, variant: "gemm[TM=2]" }]]);
    await keep(options, [other]);
    await keep(options, [[key, answer]]);
    assert.deepEqual(await read(options), ANSWERS);
  }));

Deno.test("keepTuning() writes nothing where nothing is new", () =>
  withTempDir(async (dir) => {
    const options = { cacheFolder: join(dir, "cache"), onCacheError: unexpected };
    await keep(options, []);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
    await keep(options);
    const path = onlyFile(options.cacheFolder);
    Deno.utimeSync(path, 1000, 1000);
    await keep(options);
    assert.equal(Deno.statSync(path).mtime?.getTime(), 1_000_000);
  }));

Deno.test("openTuning() knows nothing of other adapters", () =>
  withTempDir(async (dir) => {
    const options = { cacheFolder: dir, onCacheError: unexpected };
    await keep(options);
    for (
      const other of [
        { ...CARD, description: "other card" },
        { ...CARD, vendor: "4098" },
        { ...CARD, architecture: "new" },
        { ...CARD, subgroupSize: 0 },
      ]
    ) {
      assert.deepEqual(await read(options, other), []);
    }
    assert.deepEqual(await read(options, { ...CARD, maxBufferBytes: 2 ** 30 }), ANSWERS);
  }));

Deno.test("openTuning() takes a damaged or foreign file for an empty one, and keepTuning() replaces it", () =>
  withTempDir(async (dir) => {
    const options = { cacheFolder: dir, onCacheError: unexpected };
    await keep(options);
    const path = onlyFile(dir);
    const text = await Deno.readTextFile(path);
    const damages = {
      empty: "",
      cut: text.slice(0, -20),
      "of another adapter": text.replace('"card"', '"car"'),
      "of another Deno": text.replace(Deno.version.deno, "2.0.0"),
      "with a number for a name": text.replace('"gemm[TM=8]"', "8"),
      "with more keys": text.replace("{", '{"more": 1,'),
    };
    for (const [name, damaged] of Object.entries(damages)) {
      assert.notEqual(damaged, text, name);
      await Deno.writeTextFile(path, damaged);
      assert.deepEqual(await read(options), [], name);
      await keep(options);
      assert.equal(await Deno.readTextFile(path), text, name);
    }
  }));

Deno.test("keepTuning() tells why it cannot write, and openTuning() reads nothing, both without failing", () =>
  withTempDir(async (dir) => {
    const cacheFolder = join(dir, "file");
    await Deno.writeTextFile(cacheFolder, "no folder");
    const errors: Error[] = [];
    const options = { cacheFolder, onCacheError: (error: Error) => void errors.push(error) };
    assert.deepEqual(await read(options), []);
    await keep(options);
    assert.equal(errors.length, 1);
    await keep({ cacheFolder });
  }));

Deno.test({
  name: "keepTuning() and openTuning() go without permissions",
  permissions: { read: false, write: false },
  async fn() {
    const errors: Error[] = [];
    const options = { cacheFolder: "cache", onCacheError: (error: Error) => void errors.push(error) };
    assert.deepEqual(await read(options), []);
    await keep(options);
    assert.deepEqual(errors.map(({ name }) => name), ["NotCapable"]);
  },
});

Deno.test("Upscaler.upscale() gives the same bytes with and without tuning", () =>
  withTempDir(async (cacheFolder) => {
    // Without subgroups a software adapter has several variants, as a GPU has.
    const model = new URL("../../weights/nano", import.meta.url).pathname;
    const frame = signalFrame(0, { width: 5, height: 4 });
    async function upscale(tuning?: TuningOptions) {
      using upscaler = await Upscaler.open({ model, allowCpu: true, subgroups: false, tuning });
      return await Array.fromAsync(upscaler.upscale([frame]));
    }
    const expected = await upscale();
    assert.deepEqual([...Deno.readDirSync(cacheFolder)], []);
    assert.deepEqual(await upscale({ mode: "force", cacheFolder, onCacheError: unexpected }), expected);
    const { answers } = JSON.parse(await Deno.readTextFile(onlyFile(cacheFolder)));
    assert.ok(Object.keys(answers).length > 0, "nothing was measured");
    assert.deepEqual(await upscale({ cacheFolder, onCacheError: unexpected }), expected);
  }));
