import { basename, join } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { containedFile, requiredFile } from "./contained_file.ts";
import { ConfigError, MissingModelError } from "./errors.ts";
import { locateWeights } from "./locate_weights.ts";
import { parseRAFTConfig, type RAFTConfig } from "./raft_config.ts";
import { recognizeRAFT } from "./raft_sizes.ts";
import { MAX_CONFIG_BYTES, readJson } from "./read_json.ts";
import { openWeightFile, openWeightPath, weightFileNames, type WeightFiles } from "./weight_source.ts";

/** The optical flow's weights on disk, in a model's `flow/` or elsewhere, and their configuration if there is one. */
export class FlowFiles {
  /** The folder that all files must lie in; null for a single file, which may lie anywhere. */
  readonly #root: string | null;
  /** The weight file, or the index of shards, relative to the root. */
  readonly #weights: string;
  /** The configuration, relative to the root; null where the weights must tell. */
  readonly #config: string | null;

  private constructor(
    root: string | null,
    { weights, config }: { readonly weights: string; readonly config: string | null },
  ) {
    this.#root = root;
    this.#weights = weights;
    this.#config = config;
  }

  /**
   * Those in folder `part` of `root`: safetensors, or one `.pth` file, and perhaps `config.json`. Throws
   * MissingModelError.
   */
  static async in(root: string, part: string): Promise<FlowFiles> {
    const weights = await locateWeights(root, part, { torch: true });
    const config = join(part, "config.json");
    const hasConfig = await containedFile(root, config) !== null;
    return new FlowFiles(root, { weights, config: hasConfig ? config : null });
  }

  /** Those at `path`: a folder like a model's `flow/`, or one file of weights. Throws MissingModelError. */
  static async at(path: string): Promise<FlowFiles> {
    const { isDirectory, isFile } = await kindOf(path);
    if (isDirectory) {
      try {
        return await FlowFiles.in(await Deno.realPath(path), ".");
      } catch (error) {
        if (!(error instanceof MissingModelError)) throw error;
        throw new MissingModelError(`Cannot open flow "${escapeName(path)}"`, error.problems);
      }
    }
    if (isFile && /\.(pth?|safetensors)$/.test(path)) {
      return new FlowFiles(null, { weights: path, config: null });
    }
    throw new MissingModelError(
      `Cannot open flow "${escapeName(path)}": wanted RAFT's weights in a file that ends in .pth, .pt or ` +
        `.safetensors, or a folder that holds them`,
    );
  }

  /**
   * The configuration: that of `config.json`, else that of the network of torchvision which has such weights. Throws
   * ConfigError, or CheckpointError where the weights are broken.
   */
  async readConfig(): Promise<RAFTConfig> {
    const root = this.#root, label = this.#config;
    if (root !== null && label !== null) {
      const path = await requiredFile(root, label);
      return parseRAFTConfig(await readJson(path, { label, maxBytes: MAX_CONFIG_BYTES }), label);
    }
    using weights = await this.openWeights();
    const config = recognizeRAFT(weights);
    if (config !== null) return config;
    throw new ConfigError(`Cannot use "${weights.description}"`, [
      `${weights.description}: neither torchvision's raft_large nor raft_small; put it into a folder with a ` +
      `config.json that has the network's sizes`,
    ]);
  }

  /** Opens the weights; close them after use. Throws CheckpointError where they are broken. */
  async openWeights(): Promise<WeightFiles> {
    const root = this.#root, weights = this.#weights;
    return await (root === null
      ? openWeightPath(weights, escapeName(basename(weights)))
      : openWeightFile(root, weights));
  }

  /** Paths of all its files, by the names they have or would have in a model folder. */
  async files(): Promise<Map<string, string>> {
    const root = this.#root;
    if (root === null) return new Map([[`flow/${basename(this.#weights)}`, this.#weights]]);
    const names = await weightFileNames(root, this.#weights);
    if (this.#config !== null) names.push(this.#config);
    const files = new Map<string, string>();
    for (const name of names) files.set(`flow/${basename(name)}`, await requiredFile(root, name));
    return files;
  }
}

async function kindOf(path: string): Promise<Pick<Deno.FileInfo, "isFile" | "isDirectory">> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) throw error;
    throw new MissingModelError(
      `Cannot open flow "${escapeName(path)}": no such file or folder; give the path of RAFT's weights`,
    );
  }
}
