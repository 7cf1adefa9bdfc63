import { join } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { containedFile, requiredFile } from "./contained_file.ts";
import { type ControlNetConfig, parseControlNetConfig } from "./controlnet_config.ts";
import { type DGAFNetConfig, parseDGAFNetConfig } from "./dgafnet_config.ts";
import { CheckpointError, ConfigError, MissingModelError } from "./errors.ts";
import { FlowFiles } from "./flow_files.ts";
import { locateWeights } from "./locate_weights.ts";
import { type ModelIndex, parseModelIndex } from "./model_index.ts";
import { MAX_CONFIG_BYTES, readJson } from "./read_json.ts";
import type { RAFTConfig } from "./raft_config.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { parseSchedulerConfig, type SchedulerConfig } from "./scheduler_config.ts";
import { parseUNetConfig, type UNetConfig } from "./unet_config.ts";
import { readTextEncoderFolder, textEncoderFiles, type TextEncoderFolder } from "./text_encoder_folder.ts";
import { parseVAEConfig, type VAEConfig } from "./vae_config.ts";
import { openWeights, weightFileNames, type WeightFiles } from "./weight_source.ts";

const INDEX = "model_index.json";
const SCHEDULER = "scheduler/scheduler_config.json";
const EMPTY_PROMPT = "text_encoder/empty_prompt.safetensors";
const TEXT_ENCODER = "text_encoder/config.json";
/** Channels of a low-resolution frame, which the UNet sees beside the latent. */
const FRAME_CHANNELS = 3;
const VAE_FACTOR = 4;
/** CLIP's text encoder gives 77. */
const MAX_PROMPT_TOKENS = 1024;

/** A part of the model that has weights. */
export type ModelPart = "unet" | "vae" | "dgafnet" | "controlnet" | "flow";

/** The parsed configurations of a model folder. */
export interface ModelConfigs {
  readonly index: ModelIndex;
  readonly unet: UNetConfig;
  readonly vae: VAEConfig;
  readonly scheduler: SchedulerConfig;
  /** DGAF-VSR's temporal module. A model without any upscales frames one by one. */
  readonly dgafnet: DGAFNetConfig | null;
  /** StableVSR's temporal module; never together with `dgafnet`. */
  readonly controlnet: ControlNetConfig | null;
  /** Optical flow; never null where there is a temporal module. */
  readonly flow: RAFTConfig | null;
}

/** A model on disk: checked configurations, and weights to open. */
export class ModelFolder {
  readonly path: string;
  readonly configs: ModelConfigs;
  /** Null where the empty prompt is there already encoded: then the text encoder is not needed. */
  readonly textEncoder: TextEncoderFolder | null;
  readonly #flow: FlowFiles | null;

  /** `flow` has the optical flow's files, and is null where `configs.flow` is. */
  constructor(
    path: string,
    { configs, textEncoder, flow }: {
      readonly configs: ModelConfigs;
      readonly textEncoder: TextEncoderFolder | null;
      readonly flow: FlowFiles | null;
    },
  ) {
    this.path = path;
    this.configs = configs;
    this.textEncoder = textEncoder;
    this.#flow = flow;
  }

  /** Opens the weights of `part`; close them after use. Errors as `openWeights`. */
  openWeights(part: ModelPart): Promise<WeightFiles> {
    if (part === "flow" && this.#flow) return this.#flow.openWeights();
    return openWeights(this.path, part);
  }

  /**
   * Names and paths of all files that make the model what it is: configurations, weights, and the empty prompt or what
   * encodes it.
   */
  async files(): Promise<Map<string, string>> {
    const parts = (["unet", "vae", "dgafnet", "controlnet"] as const).filter((part) =>
      this.configs[part] !== null
    );
    const names = [INDEX, SCHEDULER];
    names.push(...this.textEncoder ? await textEncoderFiles(this.path) : [EMPTY_PROMPT]);
    for (const part of parts) {
      const weights = await locateWeights(this.path, part);
      names.push(`${part}/config.json`, ...await weightFileNames(this.path, weights));
    }
    const files = new Map(await this.#flow?.files());
    for (const name of names) files.set(name, await requiredFile(this.path, name));
    return files;
  }

  /** Shape of the empty prompt's embedding, [tokens, cross_attention_dim]. Errors as `readEmptyPrompt`. */
  async promptShape(): Promise<readonly [number, number]> {
    if (this.textEncoder === null) return (await this.readEmptyPrompt()).shape;
    const { config, vocabulary } = this.textEncoder;
    return [vocabulary.length, config.hidden_size];
  }

  /**
   * Reads the text encoder's output for the prompt "": `data` of `shape` [tokens, cross_attention_dim].
   * Throws MissingModelError if it is not there, CheckpointError if the file is broken or does not fit the UNet.
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

/** What `openModelFolder` is told beside the path. */
export interface ModelFolderOptions {
  /** Path of optical flow weights to use instead of the model's `flow/`: a folder like it, or one file. */
  readonly flow?: string | undefined;
}

/**
 * Opens the model folder at `path` (diffusers' layout) and checks all its configurations; weights are only looked
 * for. Throws MissingModelError listing every missing part, or ConfigError listing every problem.
 */
export async function openModelFolder(
  path: string,
  { flow: flowPath }: ModelFolderOptions = {},
): Promise<ModelFolder> {
  const root = await realFolder(path);
  const has = (folder: string) => isFolder(join(root, folder));
  const modules: ModelPart[] = [];
  for (const module of ["dgafnet", "controlnet"] as const) if (await has(module)) modules.push(module);
  if (modules.length > 1) {
    throw new ConfigError(`Cannot use model "${escapeName(path)}"`, [
      `it has ${modules.join(" and ")}, wanted one temporal module at most: remove the folder of the other`,
    ]);
  }
  const temporal = modules.length > 0;
  const parts: ModelPart[] = ["unet", "vae", ...modules];
  if (flowPath !== undefined && !temporal) {
    throw new ConfigError(`Cannot use flow "${escapeName(flowPath)}"`, [
      "the model has no temporal module, so it takes no flow: leave the flow out, or use a model with dgafnet or " +
      "controlnet",
    ]);
  }
  let flow = flowPath === undefined ? null : await FlowFiles.at(flowPath);
  const missing = await missingParts(root, parts);
  if (flow === null && (temporal || await has("flow"))) {
    flow = await withoutMissing(missing, () => FlowFiles.in(root, "flow"));
  }
  const textEncoder = await containedFile(root, EMPTY_PROMPT) === null
    ? await findTextEncoder(root, missing)
    : null;
  if (missing.length > 0) {
    throw new MissingModelError(
      `Cannot use model "${escapeName(path)}": parts of the folder are missing`,
      missing,
    );
  }
  const configs = await readConfigs(root, { parts, textEncoder, flow });
  return new ModelFolder(root, { configs, textEncoder, flow });
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
    await withoutMissing(missing, () => locateWeights(root, part));
  }
  return missing;
}

/** What encodes the empty prompt where that is not there; what is missing is added to the list `missing`. */
async function findTextEncoder(root: string, missing: string[]): Promise<TextEncoderFolder | null> {
  if (await containedFile(root, TEXT_ENCODER) === null) {
    missing.push(
      `${EMPTY_PROMPT}: copy text_encoder and tokenizer from the model's source, or save the text encoder's output ` +
        'for the prompt "" there as tensor "prompt_embeds"',
    );
    return null;
  }
  await withoutMissing(missing, () => locateWeights(root, "text_encoder"));
  return await withoutMissing(missing, () => readTextEncoderFolder(root));
}

/** What `look` returns; null where that is missing, which is added to the list `missing`. */
async function withoutMissing<T>(missing: string[], look: () => Promise<T>): Promise<T | null> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof MissingModelError)) throw error;
    missing.push(...error.problems);
    return null;
  }
}

async function readConfigs(
  root: string,
  { parts, textEncoder, flow: flowFiles }: {
    readonly parts: readonly ModelPart[];
    readonly textEncoder: TextEncoderFolder | null;
    readonly flow: FlowFiles | null;
  },
): Promise<ModelConfigs> {
  const problems: string[] = [];
  async function collect<T>(readConfig: () => Promise<T>): Promise<T | null> {
    try {
      return await readConfig();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return null;
    }
  }
  async function read<T>(name: string, parse: (json: unknown, where: string) => T): Promise<T | null> {
    const path = await requiredFile(root, name);
    return await collect(async () =>
      parse(await readJson(path, { label: name, maxBytes: MAX_CONFIG_BYTES }), name)
    );
  }
  const index = await read(INDEX, parseModelIndex);
  const unet = await read("unet/config.json", parseUNetConfig);
  const vae = await read("vae/config.json", parseVAEConfig);
  const scheduler = await read(SCHEDULER, parseSchedulerConfig);
  const dgafnet = parts.includes("dgafnet") ? await read("dgafnet/config.json", parseDGAFNetConfig) : null;
  const controlnet = parts.includes("controlnet")
    ? await read("controlnet/config.json", parseControlNetConfig)
    : null;
  const flow = flowFiles && await collect(() => flowFiles.readConfig());
  if (problems.length === 0) {
    const configs = {
      index: index!,
      unet: unet!,
      vae: vae!,
      scheduler: scheduler!,
      dgafnet,
      controlnet,
      flow,
    };
    problems.push(...problemsBetweenParts(configs, textEncoder));
    if (problems.length === 0) return configs;
  }
  throw new ConfigError(`Cannot use model "${escapeName(root)}"`, problems);
}

/** Parts that were trained together agree on these; others cannot be connected. */
function problemsBetweenParts(
  { index, unet, vae, scheduler, dgafnet, controlnet }: ModelConfigs,
  textEncoder: TextEncoderFolder | null,
): string[] {
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
  if (dgafnet) {
    same("dgafnet/config.json: conditioning_channels", { found: dgafnet.conditioning_channels, ...latent });
  }
  if (textEncoder) {
    same(`${TEXT_ENCODER}: hidden_size`, {
      found: textEncoder.config.hidden_size,
      wanted: unet.cross_attention_dim,
      like: "cross_attention_dim of unet/config.json",
    });
  }
  for (const [part, module] of Object.entries({ dgafnet, controlnet })) {
    for (
      const key of ["in_channels", "block_out_channels", "layers_per_block", "num_class_embeds"] as const
    ) {
      if (!module) continue;
      same(`${part}/config.json: ${key}`, {
        found: module[key],
        wanted: unet[key],
        like: "as unet/config.json",
      });
    }
  }
  if (controlnet) {
    same("controlnet/config.json: cross_attention_dim", {
      found: controlnet.cross_attention_dim,
      wanted: unet.cross_attention_dim,
      like: "as unet/config.json",
    });
    same("controlnet/config.json: conditioning_channels", {
      found: controlnet.conditioning_channels,
      wanted: FRAME_CHANNELS,
      like: "channels of a decoded frame",
    });
    same("controlnet/config.json: 2^(entries of conditioning_embedding_out_channels - 1)", {
      found: 2 ** (controlnet.conditioning_embedding_out_channels.length - 1),
      wanted: VAE_FACTOR,
      like: "the upscaling factor",
    });
  }
  if (dgafnet && dgafnet.conditioning_scale !== null) {
    same(`${INDEX}: conditioning_scale`, {
      found: index.conditioning_scale,
      wanted: dgafnet.conditioning_scale,
      like: "as dgafnet/config.json",
    });
  }
  return problems;
}
