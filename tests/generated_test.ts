import assert from "node:assert/strict";
import { signal, weight } from "./generated.ts";
import { loadCase, tensorOf } from "./golden_file.ts";

/** First values, by their bits, as the definition of the generator prints them. */
const PUBLISHED: { values: Float32Array; bits: string[] }[] = [
  { values: signal("latents", [3]), bits: ["3d5d12fa", "3e5521b6", "3fae95d7"] },
  { values: weight("unet.conv_in.weight", [8, 7, 3, 3]), bits: ["bcc61fad", "bd637caf", "3e4965d3"] },
  { values: weight("unet.conv_in.bias", [32]), bits: ["3dab2c30", "bd3cef3d"] },
  { values: weight("unet.down_blocks.0.resnets.0.norm1.weight", [32]), bits: ["3f633893", "3f96f46e"] },
  {
    values: weight("flow.context_encoder.convnormrelu.1.running_var", [16]),
    bits: ["3fb540da", "3f3fad54"],
  },
];

/** The hash values behind `SEED:NAME`, of which a value keeps the upper 24 bits. */
const PUBLISHED_HASHES: { name: string; seed: number; hashes: number[] }[] = [
  { name: "latents", seed: 0, hashes: [0x83fd1985, 0x8f61a7f5, 0xe4cc00d8] },
  { name: "latents", seed: 7, hashes: [0xbe3e8a29, 0x2a429d6f, 0xff028ef5] },
  { name: "unet.conv_in.weight", seed: 0, hashes: [0x71d05566, 0x5f6c3002, 0xf35d7486] },
  { name: "größe", seed: 0, hashes: [0x63965d82, 0x990d8e0e, 0xfb4fde92] },
];

/** A shape with fan_in 3: the scale is exactly 1. */
const UNSCALED = [8, 3];

Deno.test("signal() and weight() give the published first values", () => {
  for (const { values, bits } of PUBLISHED) {
    const words = new Uint32Array(values.buffer, 0, bits.length);
    assert.deepEqual(Array.from(words, hex), bits);
  }
});

Deno.test("weight() shows the published hashes where the scale is 1", () => {
  for (const { name, seed, hashes } of PUBLISHED_HASHES) {
    const v = weight(name, UNSCALED, seed).subarray(0, hashes.length);
    assert.deepEqual(Array.from(v, upper24), hashes.map((hash) => hash >>> 8));
  }
});

Deno.test("signal() and weight() equal golden generator bit for bit", () => {
  const golden = loadCase("generator");
  for (const [key, tensor] of golden.tensors) {
    const [, kind, seed, name] = /^(signal|weight|raw)\.(\d+):(.*)$/.exec(key)!;
    if (kind === "raw") {
      const v = weight(name!, UNSCALED, Number(seed)).subarray(0, tensor.data.length);
      assert.deepEqual(Array.from(v, upper24), Array.from(tensor.data));
    } else if (name === "long") {
      assert.deepEqual(signal("long", [70001]).slice(-64), tensor.data);
    } else if (kind === "signal") {
      assert.deepEqual(signal(name!, tensor.shape, Number(seed)), tensor.data);
    } else {
      assert.deepEqual(weight(name!, tensor.shape, Number(seed)), tensor.data);
    }
  }
  assert.equal(tensorOf(golden, "weight.0:dists.alpha").data.length, 1475);
});

function hex(word: number): string {
  return word.toString(16).padStart(8, "0");
}

function upper24(v: number): number {
  return (v + 1) * 2 ** 23;
}
