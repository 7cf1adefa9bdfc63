import { safetensorsBytes, withFolder } from "../checkpoint/_safetensors_bytes.ts";
import { weight } from "../generated.ts";

const NANO = new URL("../../weights/nano/", import.meta.url);
const UNET = "unet/diffusion_pytorch_model.safetensors";
const CLASSES = 64, EMBEDDING = 128;

/** `model_index.json` as the x4-upscaler has it, with its own largest noise level and few steps. */
export const X4_INDEX = {
  _class_name: "StableDiffusionUpscalePipeline",
  _diffusers_version: "0.8.0.dev0",
  low_res_scheduler: ["diffusers", "DDPMScheduler"],
  max_noise_level: 50,
  num_inference_steps: 1,
  scheduler: ["diffusers", "DDPMScheduler"],
  text_encoder: ["transformers", "CLIPTextModel"],
  tokenizer: ["transformers", "CLIPTokenizer"],
  unet: ["diffusers", "UNet2DConditionModel"],
  vae: ["diffusers", "AutoencoderKL"],
};

/** `low_res_scheduler/scheduler_config.json`, the x4-upscaler's. */
export const LOW_RES_SCHEDULER = {
  _class_name: "DDPMScheduler",
  _diffusers_version: "0.8.0.dev0",
  beta_end: 0.02,
  beta_schedule: "scaled_linear",
  beta_start: 0.0001,
  clip_sample: true,
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  trained_betas: null,
  variance_type: "fixed_small",
};

/** Runs `use` with a folder in the x4-upscaler's layout: the bundled model, with generated embeddings of 64 classes. */
export async function withX4(use: (folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    for (const part of ["unet", "vae", "scheduler", "text_encoder"]) {
      await Deno.mkdir(`${folder}/${part}`);
      for await (const { name } of Deno.readDir(new URL(part, NANO))) {
        await Deno.copyFile(new URL(`${part}/${name}`, NANO), `${folder}/${part}/${name}`);
      }
    }
    const config = JSON.parse(await Deno.readTextFile(`${folder}/unet/config.json`));
    await writeJson(`${folder}/unet/config.json`, { ...config, num_class_embeds: CLASSES });
    await Deno.writeFile(`${folder}/${UNET}`, withClasses(await Deno.readFile(`${folder}/${UNET}`)));
    await Deno.mkdir(`${folder}/low_res_scheduler`);
    await writeJson(`${folder}/low_res_scheduler/scheduler_config.json`, LOW_RES_SCHEDULER);
    await writeJson(`${folder}/model_index.json`, X4_INDEX);
    await use(folder);
  });
}

/** Writes `value` as JSON. */
export async function writeJson(path: string, value: object): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(value));
}

/** A file of weights with the embeddings at its end. */
function withClasses(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const data = file.subarray(8 + length), shape = [CLASSES, EMBEDDING];
  const embeddings = new Uint8Array(weight("unet.class_embedding.weight", shape).buffer);
  const data_offsets = [data.length, data.length + embeddings.length];
  header["class_embedding.weight"] = { dtype: "F32", shape, data_offsets };
  return safetensorsBytes(header, Uint8Array.from([...data, ...embeddings]));
}
