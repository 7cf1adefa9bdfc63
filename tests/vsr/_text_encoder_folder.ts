import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CLIPTextConfig, parseCLIPTextConfig } from "../../src/checkpoint/clip_text_config.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import { writeSafetensors } from "../../src/checkpoint/write_safetensors.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { CLIPTextModel } from "../../src/models/clip_text.ts";
import { Weights } from "../../src/nn/weights.ts";
import { MemorySource } from "../checkpoint/_memory_source.ts";
import { copyModel } from "../cli/edited_model.ts";
import { weight } from "../generated.ts";

/** Folder with the tokenizer `clip`. */
export const TOKENIZERS = fileURLToPath(new URL("../text/fixtures", import.meta.url));
/** Where a model keeps the embedding of the empty prompt. */
export const EMPTY_PROMPT = "text_encoder/empty_prompt.safetensors";
/** Sizes of a small encoder. */
export const SMALL = { hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 2 };
/** The same as the bundled model's UNet wants it. */
export const FITTING = { ...SMALL, hidden_size: 64 };

/** Hands a copy of the bundled model to `use` that has a text encoder of generated weights, not the empty prompt. */
export async function withEncoderInstead(
  use: (root: string) => Promise<void>,
  json: object = FITTING,
): Promise<void> {
  await withEncoderToo(async (root) => {
    await Deno.remove(join(root, EMPTY_PROMPT));
    await use(root);
  }, json);
}

/** Hands a copy of the bundled model to `use` that has a text encoder of generated weights, and the empty prompt. */
export async function withEncoderToo(
  use: (root: string) => Promise<void>,
  json: object = FITTING,
): Promise<void> {
  await withEncoder(json, async (root) => {
    await copyModel(root);
    await use(root);
  });
}

/** Hands a folder with a text encoder of generated weights and the fixture's tokenizer to `use`. */
export async function withEncoder(json: object, use: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await addEncoder(root, json);
    await use(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** Adds a text encoder of generated weights and the fixture's tokenizer to a folder. */
export async function addEncoder(root: string, json: object = FITTING): Promise<void> {
  await Deno.mkdir(join(root, "text_encoder"), { recursive: true });
  await Deno.mkdir(join(root, "tokenizer"));
  for await (const { name } of Deno.readDir(join(TOKENIZERS, "clip"))) {
    await Deno.copyFile(join(TOKENIZERS, "clip", name), join(root, "tokenizer", name));
  }
  await Deno.writeTextFile(join(root, "text_encoder/config.json"), JSON.stringify(json));
  const shapes = shapesOf(parseCLIPTextConfig(json, "config.json"));
  await Deno.writeFile(
    join(root, "text_encoder/model.safetensors"),
    ReadableStream.from(writeSafetensors(shapes, generated(shapes))),
  );
}

/** Names and shapes of the tensors that the encoder asks for. */
function shapesOf(config: CLIPTextConfig): Map<string, number[]> {
  const view = new WeightView(new MemorySource({}));
  new CLIPTextModel(new Weights({ facts: {} } as Gpu, view, "text_encoder"), config, [[1]]);
  return new Map(
    view.problems().map((problem) => {
      const [, name, sizes] = /^missing: "(.+)", wanted \[([\d, ]+)\]$/.exec(problem)!;
      return [name!, sizes!.split(", ").map(Number)];
    }),
  );
}

async function* generated(shapes: ReadonlyMap<string, number[]>): AsyncGenerator<Float32Array> {
  for (const [name, shape] of shapes) yield await Promise.resolve(weight(`text_encoder.${name}`, shape));
}
