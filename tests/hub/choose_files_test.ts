import { deepStrictEqual, throws } from "node:assert/strict";
import { chooseFiles, type HubFile } from "../../src/hub/choose_files.ts";
import { HubError } from "../../src/hub/errors.ts";

const UNET = "unet/diffusion_pytorch_model";

Deno.test("chooseFiles() takes StableVSR's folder without what is not read", () => {
  const wanted = [
    "model_index.json",
    "controlnet/config.json",
    "controlnet/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    `${UNET}.safetensors`,
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
  ];
  const others = [".gitattributes", "README.md", "other/model.safetensors", "unet/sub/model.safetensors"];
  deepStrictEqual(chosen([...wanted, ...others]), wanted.toSorted());
});

Deno.test("chooseFiles() takes one set of the x4-upscaler's weights, without a variant", () => {
  const wanted = [
    "model_index.json",
    "low_res_scheduler/scheduler_config.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "unet/config.json",
    `${UNET}.safetensors`,
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
  ];
  const others = [
    "x4-upscaler-ema.ckpt",
    "x4-upscaler-ema.safetensors",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/pytorch_model.bin",
    `${UNET}.bin`,
    `${UNET}.fp16.bin`,
    `${UNET}.fp16.safetensors`,
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "vae/model.onnx",
    "vae/flax_model.msgpack",
  ];
  deepStrictEqual(chosen([...wanted, ...others]), wanted.toSorted());
});

Deno.test("chooseFiles() prefers a single file to shards, no variant to fp16, and fp16 to others", () => {
  const shards = [`${UNET}-00001-of-00002.safetensors`, `${UNET}-00002-of-00002.safetensors`];
  const index = `${UNET}.safetensors.index.json`;
  const half = [`${UNET}.fp16-00001-of-00001.safetensors`, `${UNET}.safetensors.index.fp16.json`];
  const others = [`${UNET}.bf16.safetensors`, `${UNET}.non_ema.safetensors`];
  const cases: [offered: string[], wanted: string[]][] = [
    [[...shards, index, `${UNET}.safetensors`, ...half], [`${UNET}.safetensors`]],
    [[...shards, index, ...half, ...others], [...shards, index]],
    [[...half, ...others], half],
    [[...shards, ...others], [`${UNET}.bf16.safetensors`]],
    [["unet/model.safetensors", `${UNET}.safetensors`], [`${UNET}.safetensors`]],
    [["unet/model.safetensors", "unet/pytorch_model.bin"], ["unet/model.safetensors"]],
  ];
  for (const [offered, wanted] of cases) {
    const always = ["model_index.json", "unet/config.json"];
    deepStrictEqual(chosen([...always, ...offered]), [...always, ...wanted].sort());
    deepStrictEqual(chosen([...always, ...offered].reverse()), [...always, ...wanted].sort());
  }
});

Deno.test("chooseFiles() refuses what is no model folder, and parts without safetensors", () => {
  const cases: [names: string[], message: RegExp][] = [
    [["unet/config.json", `${UNET}.safetensors`], /it has no model_index\.json/],
    [
      ["model_index.json", "unet/config.json", `${UNET}.bin`, "vae/config.json", "vae/model.ckpt"],
      /no safetensors weights in unet, vae,/,
    ],
  ];
  for (const [names, message] of cases) {
    throws(
      () => chosen(names),
      (error) => error instanceof HubError && error.problem === "unusable" && message.test(error.message),
    );
  }
});

function chosen(names: readonly string[]): string[] {
  const files = names.map((name): HubFile => ({ name, byteLength: 1, digest: "", algorithm: "sha256" }));
  return chooseFiles(files, "owner/name").map(({ name }) => name).sort();
}
