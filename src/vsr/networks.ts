import type { ModelConfigs, ModelFolder, ModelPart } from "../checkpoint/model_folder.ts";
import { WeightView } from "../checkpoint/weight_view.ts";
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/tensor.ts";
import { DGAFNet } from "../models/dgafnet.ts";
import { RAFT } from "../models/raft.ts";
import { UNet } from "../models/unet.ts";
import { VAEDecoder } from "../models/vae.ts";
import { Weights } from "../nn/weights.ts";

/** How each part of a model is built from its weights and the configurations. */
const BUILDERS = {
  flow: (w: Weights, configs: ModelConfigs) => new RAFT(w, configs.flow!),
  unet: (w: Weights, configs: ModelConfigs) => new UNet(w, configs.unet),
  dgafnet: (w: Weights, configs: ModelConfigs) => new DGAFNet(w, configs.dgafnet!),
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
  { model, part, precision }: { readonly model: ModelFolder; readonly part: P; readonly precision: DType },
): Promise<LoadedNetwork<P>> {
  using source = await model.openWeights(part);
  const weights = new Weights(gpu, new WeightView(source), part, { precision });
  try {
    const network = BUILDERS[part](weights, model.configs) as Network<P>;
    await weights.load();
    return { network, [Symbol.dispose]: () => weights.free() };
  } catch (error) {
    weights.free();
    throw error;
  }
}

/**
 * Compares names and shapes of all tensors of a model with what its networks want, without loading any. Throws
 * `CheckpointError` for the first part that does not fit, listing all its tensors that do not.
 */
export async function checkNetworks(gpu: Gpu, model: ModelFolder): Promise<void> {
  const parts = Object.keys(BUILDERS) as ModelPart[];
  for (const part of parts.filter((p) => model.configs[p] !== null)) {
    using source = await model.openWeights(part);
    const view = new WeightView(source);
    BUILDERS[part](new Weights(gpu, view, part), model.configs);
    view.check();
  }
}
