import { join } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { containedFile, requiredFile } from "./contained_file.ts";
import { type DGAFNetConfig, parseDGAFNetConfig } from "./dgafnet_config.ts";
import { CheckpointError, ConfigError, MissingModelError } from "./errors.ts";
import { type ModelIndex, parseModelIndex } from "./model_index.ts";
import { readJson } from "./read_json.ts";
import { parseRAFTConfig, type RAFTConfig } from "./raft_config.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { parseSchedulerConfig, type SchedulerConfig } from "./scheduler_config.ts";
import { parseUNetConfig, type UNetConfig } from "./unet_config.ts";
import { parseVAEConfig, type VAEConfig } from "./vae_config.ts";
import { locateWeights, openWeights, weightFileNames, type WeightFiles } from "./weight_source.ts";

const INDEX = "model_index.json";
const SCHEDULER = "scheduler/scheduler_config.json";
const EMPTY_PROMPT = "text_encoder/empty_prompt.safetensors";
/** Channels of a low-resolution frame, which the UNet sees beside the latent. */
const FRAME_CHANNELS = 3;
const VAE_FACTOR = 4;
/** A configuration takes a few KB. */
const MAX_CONFIG_BYTES = 2 ** 20;
/** CLIP's text encoder gives 77. */
const MAX_PROMPT_TOKENS = 1024;

/** A part of the model that has weights. */
export type ModelPart = "unet" | "vae" | "dgafnet" | "flow";

/** The parsed configurations of a model folder. */
export interface ModelConfigs {
  readonly index: ModelIndex;
  readonly unet: UNetConfig;
  readonly vae: VAEConfig;
  readonly scheduler: SchedulerConfig;
  /** Null where the model has no temporal module: frames are then upscaled one by one. */
  readonly dgafnet: DGAFNetConfig | null;
  /** Optical flow; never null where `dgafnet` is there. */
  readonly flow: RAFTConfig | null;
}

/** A model on disk: checked configurations, and weights to open. */
export class ModelFolder {
  readonly path: string;
  readonly configs: ModelConfigs;

  constructor(path: string, configs: ModelConfigs) {
    this.path = path;
    this.configs = configs;
  }

  /** Opens the weights of `part`; close them after use. Errors as `openWeights`. */
  openWeights(part: ModelPart): Promise<WeightFiles> {
    return openWeights(this.path, part);
  }

  /** Names and paths of all files that make the model what it is: configurations, weights, the empty prompt. */
  async files(): Promise<Map<string, string>> {
    const parts = (["unet", "vae", "dgafnet", "flow"] as const).filter((part) => this.configs[part] !== null);
    const names = [INDEX, SCHEDULER, EMPTY_PROMPT];
    for (const part of parts) names.push(`${part}/config.json`, ...await weightFileNames(this.path, part));
    const files = new Map<string, string>();
    for (const name of names) files.set(name, await requiredFile(this.path, name));
    return files;
  }

  /**
   * Reads the text encoder's output for the prompt "": `data` of `shape` [tokens, cross_attention_dim].
   * Throws CheckpointError if the file is broken or the shape does not fit the UNet.
   */
  async readEmptyPrompt(): Promise<{ data: Float32Array; shape: readonly [number, number] }> {
    using file = await SafetensorsFile.open(await requiredFile(this.path, EMPTY_PROMPT), EMPTY_PROMPT);
    const stored = file.tensors.get("prompt_embeds")?.shape;
    const [tokens = 0, dim = 0, ...rest] = stored?.length === 3 && stored[0] === 1
      ? stored.slice(1)
      : stored ?? [];
    const wanted = this.configs.unet.cross_attention_dim;
    if (rest.length > 0 || tokens < 1 || tokens > MAX_PROMPT_TOKENS || dim !== wanted) {
      throw new CheckpointError(
        `Cannot use "${EMPTY_PROMPT}": tensor "prompt_embeds" is ${
          stored ? `[${stored.join(", ")}]` : "missing"
        }, ` +
          `wanted [tokens, ${wanted}] or [1, tokens, ${wanted}], with 1 to ${MAX_PROMPT_TOKENS} tokens`,
      );
    }
    return { data: await file.read("prompt_embeds"), shape: [tokens, dim] };
  }
}

/**
 * Opens the model folder at `path` (diffusers' layout) and checks all its configurations; weights are only looked
 * for. Throws MissingModelError listing every missing part, or ConfigError listing every problem.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const root = await realFolder(path);
  const has = (folder: string) => isFolder(join(root, folder));
  if (await has("controlnet")) {
    throw new ConfigError(`Cannot use model "${escapeName(path)}"`, [
      "controlnet: StableVSR's temporal module is not supported; use a model with dgafnet, or remove the folder to " +
      "upscale frame by frame",
    ]);
  }
  const temporal = await has("dgafnet");
  const parts: ModelPart[] = ["unet", "vae"];
  if (temporal) parts.push("dgafnet");
  if (temporal || await has("flow")) parts.push("flow");
  const missing = await missingParts(root, parts);
  if (missing.length > 0) {
    throw new MissingModelError(
      `Cannot use model "${escapeName(path)}": parts of the folder are missing`,
      missing,
    );
  }
  return new ModelFolder(root, await readConfigs(root, parts));
}

async function realFolder(path: string): Promise<string> {
  if (!await isFolder(path)) {
    throw new MissingModelError(
      `Cannot open model "${escapeName(path)}": no such folder; give the path of a model folder`,
    );
  }
  return await Deno.realPath(path);
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

async function missingParts(root: string, parts: readonly ModelPart[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of [INDEX, SCHEDULER, ...parts.map((part) => `${part}/config.json`)]) {
    if (await containedFile(root, name) === null) missing.push(`${name}: copy it from the model's source`);
  }
  for (const part of parts) {
    try {
      await locateWeights(root, part);
    } catch (error) {
      if (!(error instanceof MissingModelError)) throw error;
      missing.push(...error.problems);
    }
  }
  if (await containedFile(root, EMPTY_PROMPT) === null) {
    missing.push(
      `${EMPTY_PROMPT}: save the text encoder's output for the prompt "" there as tensor "prompt_embeds"; ` +
        "the text encoder itself is not supported",
    );
  }
  return missing;
}

async function readConfigs(root: string, parts: readonly ModelPart[]): Promise<ModelConfigs> {
  const problems: string[] = [];
  async function read<T>(name: string, parse: (json: unknown, where: string) => T): Promise<T | null> {
    const path = await requiredFile(root, name);
    try {
      return parse(await readJson(path, { label: name, maxBytes: MAX_CONFIG_BYTES }), name);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return null;
    }
  }
  const index = await read(INDEX, parseModelIndex);
  const unet = await read("unet/config.json", parseUNetConfig);
  const vae = await read("vae/config.json", parseVAEConfig);
  const scheduler = await read(SCHEDULER, parseSchedulerConfig);
  const dgafnet = parts.includes("dgafnet") ? await read("dgafnet/config.json", parseDGAFNetConfig) : null;
  const flow = parts.includes("flow") ? await read("flow/config.json", parseRAFTConfig) : null;
  if (problems.length === 0) {
    const configs = { index: index!, unet: unet!, vae: vae!, scheduler: scheduler!, dgafnet, flow };
    problems.push(...problemsBetweenParts(configs));
    if (problems.length === 0) return configs;
  }
  throw new ConfigError(`Cannot use model "${escapeName(root)}"`, problems);
}

/** Parts that were trained together agree on these; others cannot be connected. */
function problemsBetweenParts({ index, unet, vae, scheduler, dgafnet }: ModelConfigs): string[] {
  const problems: string[] = [];
  function same(
    key: string,
    { found, wanted, like }: { found: unknown; wanted: unknown; like: string },
  ): void {
    const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (a !== b) problems.push(`${key} is ${a}, wanted ${b} (${like})`);
  }
  const latent = { wanted: vae.latent_channels, like: "latent_channels of vae/config.json" };
  same("unet/config.json: out_channels", { found: unet.out_channels, ...latent });
  same("unet/config.json: in_channels", {
    found: unet.in_channels,
    wanted: vae.latent_channels + FRAME_CHANNELS,
    like: `latent_channels of vae/config.json and ${FRAME_CHANNELS} channels of the frame`,
  });
  same("vae/config.json: 2^(entries of block_out_channels - 1)", {
    found: 2 ** (vae.block_out_channels.length - 1),
    wanted: VAE_FACTOR,
    like: "the upscaling factor",
  });
  if (scheduler.num_train_timesteps < index.num_inference_steps) {
    problems.push(
      `${INDEX}: num_inference_steps is ${index.num_inference_steps}, wanted at most num_train_timesteps of ` +
        `${SCHEDULER}, ${scheduler.num_train_timesteps}`,
    );
  }
  if (index.scheduler_class !== null) {
    same(`${SCHEDULER}: _class_name`, {
      found: scheduler.class_name,
      wanted: index.scheduler_class,
      like: INDEX,
    });
  }
  if (dgafnet === null) return problems;
  same("dgafnet/config.json: conditioning_channels", { found: dgafnet.conditioning_channels, ...latent });
  for (const key of ["in_channels", "block_out_channels", "layers_per_block", "num_class_embeds"] as const) {
    same(`dgafnet/config.json: ${key}`, {
      found: dgafnet[key],
      wanted: unet[key],
      like: "as unet/config.json",
    });
  }
  if (dgafnet.conditioning_scale !== null) {
    same(`${INDEX}: conditioning_scale`, {
      found: index.conditioning_scale,
      wanted: dgafnet.conditioning_scale,
      like: "as dgafnet/config.json",
    });
  }
  return problems;
}
