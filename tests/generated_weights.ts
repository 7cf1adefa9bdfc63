import type { ModelPart } from "../src/checkpoint/model_folder.ts";
import type { WeightUse } from "../src/checkpoint/weight_view.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { type WeightOptions, type WeightRequests, Weights } from "../src/nn/weights.ts";
import { loadNetwork } from "../src/vsr/networks.ts";
import { weight } from "./generated.ts";
import type { GoldenCase } from "./golden_file.ts";

type Request = { name: string; shape: readonly number[]; use: WeightUse["use"] };

/** A checkpoint that has every tensor asked for, with generated values. */
class GeneratedRequests implements WeightRequests {
  readonly #prefix: string;
  readonly #seed: number;
  readonly #requests: Request[];

  constructor(prefix: string, seed: number, requests: Request[] = []) {
    this.#prefix = prefix;
    this.#seed = seed;
    this.#requests = requests;
  }

  at(path: string | number): WeightRequests {
    return new GeneratedRequests(`${this.#prefix}${path}.`, this.#seed, this.#requests);
  }

  has(): boolean {
    return true;
  }

  ignore(): void {}

  tensor(name: string, shape: readonly number[], { use }: WeightUse): void {
    this.#requests.push({ name: this.#prefix + name, shape, use });
  }

  async load(): Promise<void> {
    for (const { name, shape, use } of this.#requests) {
      await use({ values: new Float32Array(weight(name, [...shape], this.#seed)), begin: 0 });
    }
  }
}

/** Weights with generated values for every tensor asked for; the label is the prefix without its dot. */
export function generatedWeights(
  gpu: Gpu,
  { prefix, seed = 0, ...options }: WeightOptions & { readonly prefix: string; readonly seed?: number },
): Weights {
  return new Weights(gpu, new GeneratedRequests(prefix, seed), prefix.replace(/\.$/, ""), options);
}

/**
 * Builds a network with the generated weights of a golden case and hands it to `use`; frees them afterwards.
 * `prefix` is the network's in the case, e.g. "unet."; without its dot it is the name in taps. Where the case has a model,
 * the network is that part of it, as the program loads it, and `build` is not called.
 */
export async function withGenerated<N, R>(
  gpu: Gpu,
  from: { readonly case: GoldenCase; readonly prefix: string; readonly build: (w: Weights) => N },
  use: (network: N) => Promise<R>,
): Promise<R> {
  const { prefix, build } = from, { model, precision = "f32" } = from.case;
  if (model) {
    const part = prefix.replace(/\.$/, "") as ModelPart;
    using loaded = await loadNetwork(gpu, { model, part, precision });
    return await use(loaded.network as N);
  }
  const weights = generatedWeights(gpu, {
    prefix,
    seed: from.case.weights!.seed,
    precision,
  });
  try {
    const network = build(weights);
    await weights.load();
    return await use(network);
  } finally {
    weights.free();
  }
}
