import { parseDGAFNetConfig } from "../src/checkpoint/dgafnet_config.ts";
import { parseUNetConfig } from "../src/checkpoint/unet_config.ts";
import { parseVAEConfig } from "../src/checkpoint/vae_config.ts";

const TRUNK = {
  in_channels: 7,
  block_out_channels: [256, 512, 512, 1024],
  layers_per_block: 2,
  norm_num_groups: 32,
};

/** Networks of the sizes of the x4-upscaler family; without its class embedding, which takes no time. */
export const fullSize = {
  unet: parseUNetConfig({
    ...TRUNK,
    out_channels: 4,
    down_block_types: ["DownBlock2D", ...Array<string>(3).fill("CrossAttnDownBlock2D")],
    up_block_types: [...Array<string>(3).fill("CrossAttnUpBlock2D"), "UpBlock2D"],
    only_cross_attention: [true, true, true, false],
    attention_head_dim: 8,
    cross_attention_dim: 1024,
    use_linear_projection: true,
  }, "full-size unet"),
  dgafnet: parseDGAFNetConfig({ ...TRUNK, mid_block_type: "MidBlock2D" }, "full-size dgafnet"),
  vae: parseVAEConfig({
    block_out_channels: [128, 256, 512],
    down_block_types: Array<string>(3).fill("DownEncoderBlock2D"),
    up_block_types: Array<string>(3).fill("UpDecoderBlock2D"),
    layers_per_block: 2,
    norm_num_groups: 32,
    scaling_factor: 0.08333,
  }, "full-size vae"),
};
