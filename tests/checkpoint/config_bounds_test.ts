import assert from "node:assert/strict";
import { parseControlNetConfig } from "../../src/checkpoint/controlnet_config.ts";
import { parseDGAFNetConfig } from "../../src/checkpoint/dgafnet_config.ts";
import { ConfigError } from "../../src/checkpoint/errors.ts";
import { parseModelIndex } from "../../src/checkpoint/model_index.ts";
import { parseRAFTConfig } from "../../src/checkpoint/raft_config.ts";
import { parseUNetConfig } from "../../src/checkpoint/unet_config.ts";
import { parseVAEConfig } from "../../src/checkpoint/vae_config.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { ControlNet } from "../../src/models/controlnet.ts";
import { DGAFNet } from "../../src/models/dgafnet.ts";
import { RAFT } from "../../src/models/raft.ts";
import { UNet } from "../../src/models/unet.ts";
import { VAEDecoder } from "../../src/models/vae.ts";
import { Weights } from "../../src/nn/weights.ts";
import { MemorySource } from "./_memory_source.ts";

const TRUNK = {
  in_channels: 4096,
  block_out_channels: Array(8).fill(4096),
  layers_per_block: 8,
  num_class_embeds: 16_384,
};

const RAFT_CONFIG = {
  feature_encoder_layers: Array(5).fill(4096),
  context_encoder_layers: Array(5).fill(4096),
  corr_block_num_levels: 6,
  corr_block_radius: 8,
  motion_encoder_corr_layers: [4096, 4096],
  motion_encoder_flow_layers: [4096, 4096],
  motion_encoder_out_channels: 4096,
  recurrent_block_hidden_state_size: 4095,
  recurrent_block_kernel_size: [3, 3],
  flow_head_hidden_size: 4096,
  mask_predictor_hidden_size: 4096,
};

/** The largest networks that a configuration may ask for. */
const LARGEST: Readonly<Record<string, (w: Weights) => unknown>> = {
  UNet: (w) =>
    new UNet(
      w,
      parseUNetConfig({
        ...TRUNK,
        out_channels: 4093,
        down_block_types: Array(8).fill("CrossAttnDownBlock2D"),
        up_block_types: Array(8).fill("CrossAttnUpBlock2D"),
        attention_head_dim: 1024,
        cross_attention_dim: 16_384,
        use_linear_projection: true,
      }, "f.json"),
    ),
  ControlNet: (w) =>
    new ControlNet(
      w,
      parseControlNetConfig({
        ...TRUNK,
        down_block_types: Array(8).fill("CrossAttnDownBlock2D"),
        attention_head_dim: 1024,
        cross_attention_dim: 16_384,
        use_linear_projection: true,
        conditioning_channels: 4096,
        conditioning_embedding_out_channels: Array(8).fill(4096),
      }, "f.json"),
      4093,
    ),
  DGAFNet: (w) => new DGAFNet(w, parseDGAFNetConfig({ ...TRUNK, conditioning_channels: 4093 }, "f.json")),
  VAEDecoder: (w) =>
    new VAEDecoder(
      w,
      parseVAEConfig({
        block_out_channels: Array(8).fill(4096),
        down_block_types: Array(8).fill("DownEncoderBlock2D"),
        up_block_types: Array(8).fill("UpDecoderBlock2D"),
        layers_per_block: 8,
        latent_channels: 64,
      }, "f.json"),
    ),
  RAFT: (w) => new RAFT(w, parseRAFTConfig(RAFT_CONFIG, "f.json")),
};

for (const [name, build] of Object.entries(LARGEST)) {
  Deno.test(`The largest ${name} of any configuration has no weight of 2 GiB, and is built without memory`, () => {
    const view = new WeightView(new MemorySource({}));
    build(new Weights({ facts: {} } as Gpu, view, name)); // a device would be used only in load()
    const sizes = view.problems().map((problem) => {
      const shape = /^missing: ".+", wanted \[([\d, ]+)\]$/.exec(problem);
      assert.ok(shape, problem);
      return 4 * shape[1]!.split(", ").reduce((product, size) => product * Number(size), 1);
    });
    assert.ok(sizes.length >= 50, `${sizes.length} weights`);
    assert.ok(Math.max(...sizes) < 2 ** 31, `${Math.max(...sizes)} bytes`);
  });
}

Deno.test("parseRAFTConfig() refuses kernels whose weights would take 2 GiB", () => {
  const config = { ...RAFT_CONFIG, recurrent_block_kernel_size: [3, [15, 15]] };
  assert.throws(() => parseRAFTConfig(config, "f.json"), (error: Error) => {
    assert.deepEqual((error as ConfigError).problems, [
      "f.json: recurrent_block_kernel_size has 15×15, which makes weights of 30191616000 bytes, " +
      "wanted less than 2147483648",
    ]);
    return true;
  });
});

Deno.test("parse...Config() report a list of millions, or a hundred thousand unknown keys, in one short error", () => {
  const zeros = Array(5_000_000).fill(0);
  const keys = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, 1]));
  for (const json of [{ block_out_channels: zeros }, keys]) {
    assert.throws(() => parseVAEConfig(json, "f.json"), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.ok(error.message.length < 20_000, `${error.message.length} characters`);
      return true;
    });
  }
  assert.throws(() => parseVAEConfig({ block_out_channels: zeros }, "f.json"), (error: Error) => {
    assert.equal((error as ConfigError).problems.length, 1);
    assert.match(error.message, /block_out_channels is \[0,0,.*\.\.\., wanted a list of 1 to 8 values$/);
    return true;
  });
});

Deno.test("parse...Config() refuse a third number of a pair, and a third entry of a part", () => {
  assert.throws(() => parseRAFTConfig({ recurrent_block_kernel_size: [[3, 3, 3]] }, "f.json"), ConfigError);
  assert.throws(() => parseModelIndex({ vae: ["diffusers", "AutoencoderKL", "x"] }, "f.json"), ConfigError);
});
