import type { ModelFolder } from "../checkpoint/model_folder.ts";
import type { TextEncoderFolder } from "../checkpoint/text_encoder_folder.ts";
import { openWeights } from "../checkpoint/weight_source.ts";
import { WeightView } from "../checkpoint/weight_view.ts";
import type { Gpu } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { CLIPTextModel } from "../models/clip_text.ts";
import { type WeightOptions, Weights } from "../nn/weights.ts";
import { CLIPTokenizer } from "../text/clip_tokenizer.ts";

/** What the text encoder makes of some prompts. */
export interface EncodedPrompts {
  /** The last hidden states, row-major. */
  readonly data: Float32Array;
  /** [prompts, tokens, channels]. */
  readonly shape: readonly [number, number, number];
  /** How many tokens of each prompt found no room. */
  readonly dropped: readonly number[];
}

/** The embedding of one prompt, [tokens, channels]. */
export interface PromptEmbedding {
  readonly data: Float32Array;
  readonly shape: readonly [number, number];
}

/** The embedding of the prompt "": the model's own, or else what its text encoder makes of it. */
export async function emptyPrompt(
  gpu: Gpu,
  model: ModelFolder,
  options: WeightOptions,
): Promise<PromptEmbedding> {
  if (model.textEncoder === null) return await model.readEmptyPrompt();
  const { data, shape: [, ...shape] } = await encodePrompts(gpu, model.textEncoder, {
    prompts: [""],
    ...options,
  });
  return { data, shape };
}

/**
 * Encodes `prompts`, one or more, with the tokenizer and text encoder of a model folder. The encoder's weights are on
 * the GPU only meanwhile; its table of embeddings, 200 MB for CLIP, passes through host memory.
 * Throws MissingModelError if there are no weights, CheckpointError if they cannot be used or do not fit.
 */
export async function encodePrompts(
  gpu: Gpu,
  { root, config, vocabulary }: TextEncoderFolder,
  { prompts, ...options }: WeightOptions & { readonly prompts: readonly string[] },
): Promise<EncodedPrompts> {
  const tokenizer = new CLIPTokenizer(vocabulary);
  const encoded = prompts.map((prompt) => tokenizer.encode(prompt));
  using source = await openWeights(root, "text_encoder");
  const weights = new Weights(gpu, new WeightView(source), "text_encoder", options);
  try {
    const encoder = new CLIPTextModel(weights, config, encoded.map(({ ids }) => ids));
    await weights.load();
    const rec = new Recorder(gpu);
    const states = encoder.forward(rec);
    using plan = await rec.finish([states]);
    gpu.submit((commands) => plan.encode(commands));
    return {
      data: await gpu.read(states),
      shape: [prompts.length, vocabulary.length, config.hidden_size],
      dropped: encoded.map(({ dropped }) => dropped),
    };
  } finally {
    weights.free();
  }
}
