import { join } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { containedFile, requiredFile } from "./contained_file.ts";
import { CheckpointError, ConfigError, MissingModelError, quote } from "./errors.ts";
import { FlowFiles } from "./flow_files.ts";
import { isFolder } from "./is_folder.ts";
import { locateWeights } from "./locate_weights.ts";
import { CONFIG_FILES, type ModelConfigs, problemsBetweenParts } from "./model_configs.ts";
import { parseModelIndex } from "./model_index.ts";
import { MAX_CONFIG_BYTES, readJson } from "./read_json.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { parseSchedulerConfig } from "./scheduler_config.ts";
import { TEMPORAL_PARTS, TemporalFiles, type TemporalPart } from "./temporal_files.ts";
import { readTextEncoderFolder, textEncoderFiles, type TextEncoderFolder } from "./text_encoder_folder.ts";
import { parseUNetConfig } from "./unet_config.ts";
import { parseVAEConfig } from "./vae_config.ts";
import { openWeights, weightFileNames, type WeightFiles } from "./weight_source.ts";

const EMPTY_PROMPT = "text_encoder/empty_prompt.safetensors";
/** CLIP's text encoder gives 77. */
const MAX_PROMPT_TOKENS = 1024;

/** A part of the model that has weights. */
export type ModelPart = "unet" | "vae" | TemporalPart | "flow";
/** Those that are always there and lie in the model's folder. */
const OWN_PARTS = ["unet", "vae"] as const;

/** What of a model's files is not known from its configurations alone. */
interface ModelFiles {
  /** Whether the empty prompt is there already encoded. */
  readonly hasEmptyPrompt: boolean;
  /** What encodes prompts, or why there is nothing that does. */
  readonly textEncoder: TextEncoderFolder | ConfigError | MissingModelError;
  readonly temporal: TemporalFiles | null;
  readonly flow: FlowFiles | null;
}

/** A model on disk: checked configurations, and weights to open. */
export class ModelFolder {
  readonly path: string;
  readonly configs: ModelConfigs;
  /** Whether the empty prompt is there already encoded, so that it takes no text encoder. */
  readonly hasEmptyPrompt: boolean;
  readonly #textEncoder: ModelFiles["textEncoder"];
  readonly #temporal: TemporalFiles | null;
  readonly #flow: FlowFiles | null;

  /** `configs` are those of the parts; `temporal` and `flow` are null where theirs are. */
  constructor(
    path: string,
    configs: ModelConfigs,
    { hasEmptyPrompt, textEncoder, temporal, flow }: ModelFiles,
  ) {
    this.path = path;
    this.configs = configs;
    this.hasEmptyPrompt = hasEmptyPrompt;
    this.#textEncoder = textEncoder;
    this.#temporal = temporal;
    this.#flow = flow;
  }

  /** What encodes prompts; null only where the empty prompt is there. */
  get textEncoder(): TextEncoderFolder | null {
    return this.#textEncoder instanceof Error ? null : this.#textEncoder;
  }

  /** Whether a prompt takes the text encoder. Throws MissingModelError or ConfigError if so and there is none to use. */
  needsTextEncoder(prompt: string): boolean {
    if (prompt === "" && this.hasEmptyPrompt) return false;
    if (!(this.#textEncoder instanceof Error)) return true;
    const { problems } = this.#textEncoder;
    const message = `Cannot use prompt ${quote(prompt)}: model "${
      escapeName(this.path)
    }" has the empty prompt and no usable text encoder`;
    if (this.#textEncoder instanceof ConfigError) throw new ConfigError(message, problems);
    throw new MissingModelError(message, problems);
  }

  /** Opens the weights of `part`; close them after use. Errors as `openWeights`. */
  openWeights(part: ModelPart): Promise<WeightFiles> {
    if (part === "flow" && this.#flow) return this.#flow.openWeights();
    if (part === this.#temporal?.part) return this.#temporal.openWeights();
    return openWeights(this.path, part);
  }

  /**
   * Names and paths of all files that make the model what it is: configurations, weights, the empty prompt and what
   * encodes others.
   */
  async files(): Promise<Map<string, string>> {
    const names: string[] = [CONFIG_FILES.index, CONFIG_FILES.scheduler];
    if (this.configs.low_res_scheduler) names.push(CONFIG_FILES.lowResScheduler);
    if (this.hasEmptyPrompt) names.push(EMPTY_PROMPT);
    if (this.textEncoder) names.push(...await textEncoderFiles(this.path));
    for (const part of OWN_PARTS) {
      const weights = await locateWeights(this.path, part);
      names.push(`${part}/config.json`, ...await weightFileNames(this.path, weights));
    }
    const files = new Map([...await this.#flow?.files() ?? [], ...await this.#temporal?.files() ?? []]);
    for (const name of names) files.set(name, await requiredFile(this.path, name));
    return files;
  }

  /** Shape of a prompt's embedding, [tokens, cross_attention_dim]. Errors as `needsTextEncoder`, `readEmptyPrompt`. */
  async promptShape(prompt: string): Promise<readonly [number, number]> {
    if (!this.needsTextEncoder(prompt)) return (await this.readEmptyPrompt()).shape;
    const { config, vocabulary } = this.textEncoder!;
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
  /** Path of a temporal module to use instead of the model's: a folder like its `dgafnet/` or `controlnet/`. */
  readonly temporal?: string | undefined;
}

/**
 * Opens the model folder at `path` (diffusers' layout) and checks all its configurations; weights are only looked
 * for. Throws MissingModelError listing every missing part, or ConfigError listing every problem.
 */
export async function openModelFolder(
  path: string,
  { flow: flowPath, temporal: temporalPath }: ModelFolderOptions = {},
): Promise<ModelFolder> {
  const root = await realFolder(path);
  const temporal = temporalPath === undefined
    ? await findTemporal(root, path)
    : await TemporalFiles.at(temporalPath);
  if (flowPath !== undefined && temporal === null) {
    throw new ConfigError(`Cannot use flow "${escapeName(flowPath)}"`, [
      "the model has no temporal module, so it takes no flow: leave the flow out, or use a model with dgafnet or " +
      "controlnet",
    ]);
  }
  let flow = flowPath === undefined ? null : await FlowFiles.at(flowPath);
  const missing = await missingParts(root, temporal?.isApart === false ? temporal.part : null);
  if (flow === null) {
    if (await isFolder(join(root, "flow"))) {
      flow = await withoutMissing(missing, () => FlowFiles.in(root, "flow"));
    } else if (temporal) {
      missing.push(
        "flow: put torchvision's weights of raft_large there as a .pth file, or pass them with --flow",
      );
    }
  }
  const hasEmptyPrompt = await containedFile(root, EMPTY_PROMPT) !== null;
  const textEncoder = await findTextEncoder(root, hasEmptyPrompt);
  if (!hasEmptyPrompt && textEncoder instanceof ConfigError) throw textEncoder;
  if (!hasEmptyPrompt && textEncoder instanceof MissingModelError) missing.push(...textEncoder.problems);
  if (missing.length > 0) {
    throw new MissingModelError(
      `Cannot use model "${escapeName(path)}": parts of the folder are missing`,
      missing,
    );
  }
  const files = { hasEmptyPrompt, textEncoder, temporal, flow };
  return new ModelFolder(root, await readConfigs(root, files), files);
}

/** The model's own temporal module; null where there is none. */
async function findTemporal(root: string, path: string): Promise<TemporalFiles | null> {
  const parts: TemporalPart[] = [];
  for (const part of TEMPORAL_PARTS) if (await isFolder(join(root, part))) parts.push(part);
  const [part, ...rivals] = parts;
  if (rivals.length > 0) {
    throw new ConfigError(`Cannot use model "${escapeName(path)}"`, [
      `it has ${parts.join(" and ")}, wanted one temporal module at most: remove the folder of the other`,
    ]);
  }
  return part === undefined ? null : TemporalFiles.in(root, part);
}

async function realFolder(path: string): Promise<string> {
  if (!await isFolder(path)) {
    throw new MissingModelError(
      `Cannot open model "${escapeName(path)}": no such folder; give the path of a model folder`,
    );
  }
  return await Deno.realPath(path);
}

async function missingParts(root: string, temporal: TemporalPart | null): Promise<string[]> {
  const missing: string[] = [];
  const parts = temporal === null ? OWN_PARTS : [...OWN_PARTS, temporal];
  for (
    const name of [
      CONFIG_FILES.index,
      CONFIG_FILES.scheduler,
      ...parts.map((part) => `${part}/config.json`),
    ]
  ) {
    if (await containedFile(root, name) === null) missing.push(`${name}: copy it from the model's source`);
  }
  for (const part of parts) {
    await withoutMissing(missing, () => locateWeights(root, part));
  }
  return missing;
}

/** What encodes prompts, or an error that says why there is nothing. */
async function findTextEncoder(root: string, hasEmptyPrompt: boolean): Promise<ModelFiles["textEncoder"]> {
  const missing: string[] = [];
  try {
    if (await containedFile(root, CONFIG_FILES.textEncoder) === null) {
      const copy = "copy text_encoder and tokenizer from the model's source";
      const save = 'save the text encoder\'s output for the prompt "" there as tensor "prompt_embeds"';
      missing.push(
        hasEmptyPrompt ? `${CONFIG_FILES.textEncoder}: ${copy}` : `${EMPTY_PROMPT}: ${copy}, or ${save}`,
      );
    } else {
      await withoutMissing(missing, () => locateWeights(root, "text_encoder"));
      const folder = await withoutMissing(missing, () => readTextEncoderFolder(root));
      if (folder && missing.length === 0) return folder;
    }
  } catch (error) {
    if (error instanceof ConfigError) return unsupportedError(root, error.problems);
    throw error;
  }
  return new MissingModelError("Cannot find a text encoder", missing);
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
  { textEncoder, temporal: temporalFiles, flow: flowFiles }: ModelFiles,
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
  const index = await read(CONFIG_FILES.index, parseModelIndex);
  const unet = await read("unet/config.json", parseUNetConfig);
  const vae = await read("vae/config.json", parseVAEConfig);
  const scheduler = await read(CONFIG_FILES.scheduler, parseSchedulerConfig);
  const isNoised = index?.low_res_scheduler && unet && unet.num_class_embeds !== null;
  const lowResScheduler = isNoised ? await read(CONFIG_FILES.lowResScheduler, parseSchedulerConfig) : null;
  const temporal = temporalFiles && await collect(() => temporalFiles.readConfig());
  const flow = flowFiles && await collect(() => flowFiles.readConfig());
  if (problems.length === 0) {
    const configs = {
      index: temporalFiles?.isApart
        ? { ...index!, conditioning_scale: temporal!.dgafnet?.conditioning_scale ?? 1 } // not the index's module
        : index!,
      unet: unet!,
      vae: vae!,
      scheduler: scheduler!,
      low_res_scheduler: lowResScheduler,
      dgafnet: temporal?.dgafnet ?? null,
      controlnet: temporal?.controlnet ?? null,
      flow,
    };
    problems.push(...problemsBetweenParts(configs, {
      textEncoder: textEncoder instanceof Error ? null : textEncoder.config,
      temporal: temporalFiles && temporalFiles.label,
    }));
    if (problems.length === 0) return configs;
  }
  throw unsupportedError(root, problems);
}

function unsupportedError(root: string, problems: readonly string[]): ConfigError {
  const remedy = 'get its configurations again, or choose a model as in "Public checkpoints" of README.md';
  return new ConfigError(`Cannot use model "${escapeName(root)}": not supported; ${remedy}`, problems);
}
