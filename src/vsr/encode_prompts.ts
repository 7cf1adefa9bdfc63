import type { ModelFolder } from "../checkpoint/model_folder.ts";
import type { TextEncoderFolder } from "../checkpoint/text_encoder_folder.ts";
import { openWeights } from "../checkpoint/weight_source.ts";
import { WeightView } from "../checkpoint/weight_view.ts";
import type { Gpu } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { CLIPTextModel } from "../models/clip_text.ts";
import { type WeightOptions, Weights } from "../nn/weights.ts";
import { CLIPTokenizer } from "../text/clip_tokenizer.ts";
import { loadPrompts, type PromptEmbedding, savePrompts } from "./job_state.ts";
import type { StageControl } from "./progress.ts";

/** What the text encoder made before, by prompts and precision. */
export type KnownPrompts = Map<string, readonly PromptEmbedding[]>;

/** Which prompts are embedded, and how. */
interface PromptOptions extends WeightOptions, Omit<StageControl, "signal"> {
  /** One or two, all different. */
  readonly prompts: readonly string[];
  /** Of other calls for the same model; added to. */
  readonly known: KnownPrompts;
}

/**
 * The embeddings of `prompts`: the model's own of the empty prompt, those that `job` has kept, or what the model's text
 * encoder makes of them, which `job` then keeps. Errors as `encodePrompts()`.
 */
export async function embedPrompts(
  gpu: Gpu,
  model: ModelFolder,
  { prompts, known, job, onProgress, ...options }: PromptOptions,
): Promise<PromptEmbedding[]> {
  const others = prompts.filter((prompt) => model.needsTextEncoder(prompt)), total = others.length;
  let encoded: readonly PromptEmbedding[] = [];
  if (total > 0) {
    const kept = job
      ? await loadPrompts(job, { shape: await model.promptShape(others[0]!), count: total })
      : null;
    const key = JSON.stringify([others, options.precision]);
    onProgress?.({ stage: "text", done: 0, total });
    encoded = kept ?? known.get(key) ??
      await encodePrompts(gpu, model.textEncoder!, { prompts: others, ...options });
    known.set(key, encoded);
    if (job && !kept) await savePrompts(job, encoded);
    onProgress?.({ stage: "text", done: total, total });
  }
  const own = total < prompts.length ? await model.readEmptyPrompt() : null;
  return prompts.map((prompt) => encoded[others.indexOf(prompt)] ?? own!);
}

/**
 * Encodes `prompts`, one or more, with the tokenizer and text encoder of a model folder. The encoder's weights are on
 * the GPU only meanwhile.
 * Throws MissingModelError if there are no weights, CheckpointError if they cannot be used or do not fit.
 */
export async function encodePrompts(
  gpu: Gpu,
  { root, config, vocabulary }: TextEncoderFolder,
  { prompts, ...options }: WeightOptions & { readonly prompts: readonly string[] },
): Promise<PromptEmbedding[]> {
  const tokenizer = new CLIPTokenizer(vocabulary);
  using source = await openWeights(root, "text_encoder");
  const weights = new Weights(gpu, new WeightView(source), "text_encoder", options);
  try {
    const encoder = new CLIPTextModel(weights, config, prompts.map((prompt) => tokenizer.encode(prompt).ids));
    await weights.load();
    const rec = new Recorder(gpu);
    const states = encoder.forward(rec);
    using plan = await rec.finish([states]);
    gpu.submit((commands) => plan.encode(commands));
    const all = await gpu.read(states), size = all.length / prompts.length;
    return prompts.map((_, i) => ({
      data: all.slice(i * size, (i + 1) * size),
      shape: [vocabulary.length, config.hidden_size],
    }));
  } finally {
    weights.free();
  }
}
