import { basename, join } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { containedFile, requiredFile } from "./contained_file.ts";
import { type ControlNetConfig, parseControlNetConfig } from "./controlnet_config.ts";
import { type DGAFNetConfig, parseDGAFNetConfig } from "./dgafnet_config.ts";
import { ConfigError, MissingModelError, quote } from "./errors.ts";
import { isFolder } from "./is_folder.ts";
import { locateWeights } from "./locate_weights.ts";
import { MAX_CONFIG_BYTES, readJson } from "./read_json.ts";
import { openWeights, weightFileNames, type WeightFiles } from "./weight_source.ts";

/** The kinds of temporal modules, as their folders in a model are called. */
export const TEMPORAL_PARTS = ["dgafnet", "controlnet"] as const;
/** A kind of temporal module. */
export type TemporalPart = typeof TEMPORAL_PARTS[number];

/** The configuration of one kind, and null for the other. */
export interface TemporalConfigs {
  readonly dgafnet: DGAFNetConfig | null;
  readonly controlnet: ControlNetConfig | null;
}

const CONFIG = "config.json";
const CLASSES: ReadonlyMap<unknown, TemporalPart> = new Map([
  ["DGAFNetModel", "dgafnet"],
  ["ControlNetModel", "controlnet"],
]);

/** A temporal module's configuration and weights on disk, in a model's folder or in one of their own. */
export class TemporalFiles {
  readonly part: TemporalPart;
  /** What errors call the configuration. */
  readonly label: string;
  /** Whether they lie in a folder of their own, not in the model's. */
  readonly isApart: boolean;
  /** The folder that all files must lie in, and the folder in it that they are in. */
  readonly #root: string;
  readonly #folder: string;

  private constructor(
    part: TemporalPart,
    { root, folder, label, isApart }: {
      readonly root: string;
      readonly folder: string;
      readonly label: string;
      readonly isApart: boolean;
    },
  ) {
    this.part = part;
    this.label = label;
    this.isApart = isApart;
    this.#root = root;
    this.#folder = folder;
  }

  /** Those in folder `part` of the model folder `root`. They are not looked for yet. */
  static in(root: string, part: TemporalPart): TemporalFiles {
    return new TemporalFiles(part, { root, folder: part, label: `${part}/${CONFIG}`, isApart: false });
  }

  /**
   * Those in the folder at `path`; `_class_name` of its `config.json` tells the kind. Throws MissingModelError where
   * configuration or weights are not there, ConfigError where the configuration is of something else.
   */
  static async at(path: string): Promise<TemporalFiles> {
    const name = escapeName(path), label = escapeName(join(path, CONFIG));
    if (!await isFolder(path)) {
      throw new MissingModelError(
        `Cannot open temporal module "${name}": no such folder; give the path of a folder with its config.json and ` +
          "weights",
      );
    }
    const root = await Deno.realPath(path);
    const config = await containedFile(root, CONFIG);
    if (config === null) {
      throw new MissingModelError(`Cannot open temporal module "${name}"`, [
        `no "${CONFIG}": give the folder that holds it beside the weights, or copy it from their source`,
      ]);
    }
    const json = await readJson(config, { label, maxBytes: MAX_CONFIG_BYTES });
    const found = (json as { _class_name?: unknown } | null)?._class_name;
    const part = CLASSES.get(found);
    if (part === undefined) {
      throw new ConfigError(`Cannot open temporal module "${name}"`, [
        `${label}: _class_name is ${
          quote(found)
        }, wanted "DGAFNetModel" or "ControlNetModel": give the folder of ` +
        "such a module",
      ]);
    }
    const files = new TemporalFiles(part, { root, folder: ".", label, isApart: true });
    try {
      await files.locate();
    } catch (error) {
      if (!(error instanceof MissingModelError)) throw error;
      throw new MissingModelError(`Cannot open temporal module "${name}"`, error.problems);
    }
    return files;
  }

  /** Name of the weight file, or of its shards' index, relative to the root. Throws MissingModelError. */
  locate(): Promise<string> {
    return locateWeights(this.#root, this.#folder);
  }

  /** Reads the configuration. Throws ConfigError that lists everything malformed or not supported. */
  async readConfig(): Promise<TemporalConfigs> {
    const path = await requiredFile(this.#root, join(this.#folder, CONFIG));
    const json = await readJson(path, { label: this.label, maxBytes: MAX_CONFIG_BYTES });
    return this.part === "dgafnet"
      ? { dgafnet: parseDGAFNetConfig(json, this.label), controlnet: null }
      : { dgafnet: null, controlnet: parseControlNetConfig(json, this.label) };
  }

  /** Opens the weights; close them after use. Errors as `openWeights`. */
  openWeights(): Promise<WeightFiles> {
    return openWeights(this.#root, this.#folder);
  }

  /** Paths of all its files, by the names they have or would have in a model folder. */
  async files(): Promise<Map<string, string>> {
    const names = [join(this.#folder, CONFIG), ...await weightFileNames(this.#root, await this.locate())];
    const files = new Map<string, string>();
    for (const name of names) {
      files.set(`${this.part}/${basename(name)}`, await requiredFile(this.#root, name));
    }
    return files;
  }
}
