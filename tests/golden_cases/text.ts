import { fileURLToPath } from "node:url";
import { readCLIPVocabulary } from "../../src/checkpoint/clip_vocabulary.ts";
import { parseCLIPTextConfig } from "../../src/checkpoint/clip_text_config.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { CLIPTextModel } from "../../src/models/clip_text.ts";
import { CLIPTokenizer } from "../../src/text/clip_tokenizer.ts";
import type { Weights } from "../../src/nn/weights.ts";
import { withGenerated } from "../generated_weights.ts";
import { type Golden, tensorOf } from "../golden_file.ts";
import { type CaseRunner, compute, type Computed, intermediates } from "./run.ts";

/** Runners of what has weights, by the index's `network`. */
export const textNetworkRunners: Record<string, CaseRunner> = { clip_text: clipText };

/** Runners of the rest, by the index's `network`. */
export const textRunners: Record<string, CaseRunner> = { clip_tokenizer: clipTokenizer };

async function clipText(gpu: Gpu, golden: Golden): Promise<Computed> {
  const config = parseCLIPTextConfig(golden.case.config, "golden");
  const { data, shape: [batch = 1, length = 1] } = tensorOf(golden, "ids");
  const prompts = Array.from(
    { length: batch },
    (_, i) => Array.from(data.slice(i * length, (i + 1) * length)),
  );
  const from = {
    case: golden.case,
    prefix: "text_encoder.",
    build: (w: Weights) => new CLIPTextModel(w, config, prompts),
  };
  return await withGenerated(gpu, from, (encoder) => {
    return compute(gpu, (rec) => ({ y: encoder.forward(rec) }), intermediates(golden, "text_encoder"));
  });
}

/** The fixture has the part of CLIP's vocabulary that the prompts of the case take. */
async function clipTokenizer(_gpu: Gpu, golden: Golden): Promise<Computed> {
  const vocabulary = await readCLIPVocabulary(
    fileURLToPath(new URL("../text/fixtures", import.meta.url)),
    "clip",
  );
  const prompts: string[] = golden.case.options!["prompts"];
  const encode = (padding: string) => {
    const tokenizer = new CLIPTokenizer({ ...vocabulary, padding });
    return prompts.flatMap((prompt) => tokenizer.encode(prompt).ids);
  };
  return new Map([["ids", encode("<|endoftext|>")], ["ids_pad0", encode("!")]]);
}
