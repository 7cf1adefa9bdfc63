import type { ModelConfigs } from "../checkpoint/model_configs.ts";
import type { ModelFolder, ModelPart } from "../checkpoint/model_folder.ts";
import { openWeights, type WeightSource } from "../checkpoint/weight_source.ts";
import { misfitError, WeightView } from "../checkpoint/weight_view.ts";
import type { Gpu } from "../gpu/device.ts";
import { CLIPTextModel } from "../models/clip_text.ts";
import { ControlNet } from "../models/controlnet.ts";
import { DGAFNet } from "../models/dgafnet.ts";
import { RAFT } from "../models/raft.ts";
import { UNet } from "../models/unet.ts";
import { VAEDecoder } from "../models/vae.ts";
import { type WeightOptions, Weights } from "../nn/weights.ts";
import { LatentGuide, PictureGuide, type TemporalModule } from "./temporal_module.ts";

/** How each part of a model is built from its weights and the configurations. */
export const BUILDERS = {
  flow: (w: Weights, configs: ModelConfigs) => new RAFT(w, configs.flow!),
  unet: (w: Weights, configs: ModelConfigs) => new UNet(w, configs.unet),
  dgafnet: (w: Weights, configs: ModelConfigs) => new DGAFNet(w, configs.dgafnet!),
  controlnet: (w: Weights, configs: ModelConfigs) =>
    new ControlNet(w, configs.controlnet!, configs.unet.out_channels),
  vae: (w: Weights, configs: ModelConfigs) => new VAEDecoder(w, configs.vae),
};

type Network<P extends ModelPart> = ReturnType<(typeof BUILDERS)[P]>;

/** A network with its weights on the GPU; disposing of it frees them. */
export interface LoadedNetwork<P extends ModelPart> extends Disposable {
  readonly network: Network<P>;
}

/** Builds a part of a model and loads its weights. Throws `CheckpointError` where they do not fit. */
export async function loadNetwork<P extends ModelPart>(
  gpu: Gpu,
  { model, part, ...options }: WeightOptions & { readonly model: ModelFolder; readonly part: P },
): Promise<LoadedNetwork<P>> {
  using source = await model.openWeights(part);
  const weights = new Weights(gpu, new WeightView(source), part, options);
  try {
    const network = BUILDERS[part](weights, model.configs) as Network<P>;
    await weights.load();
    return { network, [Symbol.dispose]: () => weights.free() };
  } catch (error) {
    weights.free();
    throw error;
  }
}

/** How a temporal module uses memory. */
interface TemporalOptions extends WeightOptions {
  /** Side of the tiles that estimates are decoded in, see `PictureGuide`. */
  readonly tile: number | null;
}

/** Loads the temporal module of a model that has one; disposing of it frees its weights, but for those of `vae`. */
export async function loadTemporal(
  gpu: Gpu,
  options: TemporalOptions & { readonly model: ModelFolder; readonly vae: () => Promise<VAEDecoder> },
): Promise<Disposable & { readonly module: TemporalModule }> {
  using loaded = new DisposableStack();
  async function load<P extends ModelPart>(part: P): Promise<Network<P>> {
    return loaded.use(await loadNetwork(gpu, { ...options, part })).network;
  }
  const module = options.model.configs.dgafnet
    ? new LatentGuide(await load("dgafnet"))
    : new PictureGuide(await load("controlnet"), await options.vae(), options.tile);
  const owned = loaded.move();
  return { module, [Symbol.dispose]: () => owned.dispose() };
}

/** A model whose networks can be built and recorded, as often as wanted, but have no weights. */
export interface ModelOutline {
  readonly configs: ModelConfigs;
  /** Builds the text encoder of a model that has one, for so many prompts. Nothing is allocated. */
  buildTextEncoder(prompts: number, options: WeightOptions): { network: CLIPTextModel; weights: Weights };
  /** Builds a part. Nothing is allocated. */
  build<P extends ModelPart>(part: P, options: WeightOptions): { network: Network<P>; weights: Weights };
}

/** Builds the temporal module of an outline that has one, and says which weights it wants. */
export function buildTemporal(
  outline: ModelOutline,
  options: TemporalOptions,
): { readonly module: TemporalModule; readonly weights: readonly Weights[] } {
  if (outline.configs.dgafnet) {
    const { network, weights } = outline.build("dgafnet", options);
    return { module: new LatentGuide(network), weights: [weights] };
  }
  const controlnet = outline.build("controlnet", options), vae = outline.build("vae", options);
  const module = new PictureGuide(controlnet.network, vae.network, options.tile);
  return { module, weights: [controlnet.weights, vae.weights] };
}

/** Reads what is needed of a model to build its networks without weights; dispose of it to close the files. */
export async function openOutline(gpu: Gpu, model: ModelFolder): Promise<ModelOutline & Disposable> {
  const { configs } = model;
  using opened = new DisposableStack();
  const sources = new Map<ModelPart, WeightSource>();
  for (const part of (Object.keys(BUILDERS) as ModelPart[]).filter((p) => configs[p] !== null)) {
    sources.set(part, opened.use(await model.openWeights(part)));
  }
  const text = model.textEncoder && opened.use(await openWeights(model.path, "text_encoder"));
  const owned = opened.move();
  return {
    configs,
    buildTextEncoder: (prompts, options) =>
      buildTextEncoder(gpu, { model, source: text!, prompts, ...options }),
    build<P extends ModelPart>(part: P, options: WeightOptions) {
      const weights = new Weights(gpu, new WeightView(sources.get(part)!), part, options);
      return { network: BUILDERS[part](weights, configs) as Network<P>, weights };
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function buildTextEncoder(
  gpu: Gpu,
  { model, source, prompts, ...options }: WeightOptions & {
    readonly model: ModelFolder;
    readonly source: WeightSource;
    readonly prompts: number;
  },
) {
  const { config, vocabulary } = model.textEncoder!;
  const weights = new Weights(gpu, new WeightView(source), "text_encoder", options);
  const ids = Array<number>(vocabulary.length).fill(0);
  return { network: new CLIPTextModel(weights, config, Array(prompts).fill(ids)), weights };
}

/**
 * Compares names, shapes and types of all tensors of a model with what its networks want, and reads the prompt, but
 * loads no weights. Throws `CheckpointError` for a broken file, or one that lists all tensors that do not fit.
 */
export async function checkNetworks(gpu: Gpu, model: ModelFolder): Promise<void> {
  const parts = Object.keys(BUILDERS) as ModelPart[];
  const problems: string[] = [];
  for (const part of parts.filter((p) => model.configs[p] !== null)) {
    using source = await model.openWeights(part);
    const view = new WeightView(source);
    BUILDERS[part](new Weights(gpu, view, part), model.configs);
    problems.push(...view.problems().map((problem) => `${source.description}: ${problem}`));
  }
  if (model.textEncoder && !model.hasEmptyPrompt) {
    using source = await openWeights(model.path, "text_encoder");
    const view = new WeightView(source);
    new CLIPTextModel(new Weights(gpu, view, "text_encoder"), model.textEncoder.config, [[0]]);
    problems.push(...view.problems().map((problem) => `${source.description}: ${problem}`));
  }
  if (problems.length > 0) throw misfitError(model.path, problems);
  if (model.hasEmptyPrompt) await model.readEmptyPrompt();
}
