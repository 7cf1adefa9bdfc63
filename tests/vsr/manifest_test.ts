import { deepStrictEqual, throws } from "node:assert/strict";
import { makeManifest, type Manifest, manifestChanges, parseManifest } from "../../src/vsr/manifest.ts";

const JOB = {
  adapter: "card",
  settings: { steps: 4, seed: 42, vaeTiling: false, maxGpuMemory: null },
  model: { "unet/config.json": "aa" },
  inputs: { "1.png": "bb", "2.png": "cc" },
};
const KEPT = makeManifest(JOB);

Deno.test("parseManifest() reads what JSON.stringify() wrote", () => {
  deepStrictEqual(parseManifest(JSON.stringify(KEPT)), KEPT);
});

for (
  const [what, change, problem] of [
    ["another format", { format: 2 }, /format/],
    ["a missing field", { adapter: undefined }, /adapter/],
    ["an unknown field", { extra: 1 }, /extra/],
    ["a hash that is no text", { inputs: { "1.png": 1 } }, /inputs\.1\.png/],
  ] as const
) {
  Deno.test(`parseManifest() refuses ${what}`, () => {
    throws(() => parseManifest(JSON.stringify({ ...KEPT, ...change })), {
      name: "SyntaxError",
      message: problem,
    });
  });
}

Deno.test("parseManifest() refuses a torn file", () => {
  const text = JSON.stringify(KEPT);
  throws(() => parseManifest(text.slice(0, -1)), SyntaxError);
  throws(() => parseManifest(""), SyntaxError);
});

Deno.test("manifestChanges() finds nothing in an equal manifest, whatever the order of its keys", () => {
  const { settings: { seed, ...settings }, inputs: { "1.png": first, ...inputs } } = JOB;
  const same = { ...JOB, settings: { ...settings, seed }, inputs: { ...inputs, "1.png": first } };
  deepStrictEqual(manifestChanges(KEPT, makeManifest(same)), []);
});

Deno.test("manifestChanges() names every field that differs", () => {
  const wanted: Manifest = {
    ...KEPT,
    version: "9",
    deno: "9.9.9",
    adapter: "other\x1b",
    settings: { ...JOB.settings, steps: 5, vaeTiling: true, maxGpuMemory: 7 },
    model: { "unet/config.json": "ab", "dgafnet/config.json": "aa" },
    inputs: { "2.png": "cd", "3.png": "dd" },
  };
  deepStrictEqual(manifestChanges(KEPT, wanted), [
    `version is 9, the unfinished job has ${KEPT.version}`,
    `deno is 9.9.9, the unfinished job has ${KEPT.deno}`,
    "adapter is other\\u{1b}, the unfinished job has card",
    "steps is 5, the unfinished job has 4",
    "vaeTiling is true, the unfinished job has false",
    "maxGpuMemory is 7, the unfinished job has null",
    "model/unet/config.json has another content",
    "inputs/1.png is missing",
    "inputs/2.png has another content",
    "model/dgafnet/config.json is new",
    "inputs/3.png is new",
  ]);
});
