import { parseControlNetConfig } from "../../src/checkpoint/controlnet_config.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { ControlNet } from "../../src/models/controlnet.ts";
import { Weights } from "../../src/nn/weights.ts";
import { MemorySource } from "../checkpoint/_memory_source.ts";
import { safetensorsBytes, withFolder } from "../checkpoint/_safetensors_bytes.ts";
import { weight } from "../generated.ts";

const NANO = new URL("../../weights/nano/", import.meta.url);

/** `controlnet/config.json` of nano's UNet. */
export const CONTROLNET_CONFIG = {
  _class_name: "ControlNetModel",
  in_channels: 7,
  conditioning_channels: 3,
  conditioning_embedding_out_channels: [8, 12, 16],
  block_out_channels: [32, 64, 64],
  layers_per_block: 2,
  norm_num_groups: 4,
  down_block_types: ["DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"],
  attention_head_dim: 4,
  cross_attention_dim: 64,
  use_linear_projection: true,
};

/** Runs `use` with a folder in StableVSR's layout: the bundled model with a ControlNet of generated weights. */
export async function withStableVSR(use: (folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    for (const part of ["unet", "vae", "flow", "scheduler", "text_encoder"]) {
      await Deno.mkdir(`${folder}/${part}`);
      for await (const { name } of Deno.readDir(new URL(part, NANO))) {
        await Deno.copyFile(new URL(`${part}/${name}`, NANO), `${folder}/${part}/${name}`);
      }
    }
    await Deno.mkdir(`${folder}/controlnet`);
    await Deno.writeTextFile(`${folder}/controlnet/config.json`, JSON.stringify(CONTROLNET_CONFIG));
    await Deno.writeFile(`${folder}/controlnet/diffusion_pytorch_model.safetensors`, controlnetFile());
    const index = JSON.parse(await Deno.readTextFile(new URL("model_index.json", NANO)));
    const { dgafnet: _, ...parts } = index;
    await Deno.writeTextFile(
      `${folder}/model_index.json`,
      JSON.stringify({
        ...parts,
        _class_name: "StableVSRPipeline",
        controlnet: ["diffusers", "ControlNetModel"],
      }),
    );
    await use(folder);
  });
}

/** What an empty file lacks is what the network wants. */
function controlnetFile(): Uint8Array<ArrayBuffer> {
  const view = new WeightView(new MemorySource({}));
  const config = parseControlNetConfig(CONTROLNET_CONFIG, "controlnet/config.json");
  new ControlNet(new Weights({ facts: {} } as Gpu, view, "controlnet"), config, 4); // a device would be used only in load()
  const header: Record<string, object> = {}, values: number[] = [];
  for (const problem of view.problems()) {
    const [, name, sizes] = /^missing: "(.+)", wanted \[([\d, ]+)\]$/.exec(problem)!;
    const shape = sizes!.split(", ").map(Number), begin = 4 * values.length;
    for (const value of weight(`controlnet.${name}`, shape)) values.push(value);
    header[name!] = { dtype: "F32", shape, data_offsets: [begin, 4 * values.length] };
  }
  return safetensorsBytes(header, Float32Array.from(values));
}
