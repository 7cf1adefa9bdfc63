import { basename, dirname, join } from "node:path";
import { type ConvertedWeights, convertWeights } from "../checkpoint/convert_weights.ts";
import { CheckpointError } from "../checkpoint/errors.ts";
import type { ModelConfigs } from "../checkpoint/model_configs.ts";
import { type ModelFolder, openModelFolder } from "../checkpoint/model_folder.ts";
import { MAX_CONFIG_BYTES, readJson } from "../checkpoint/read_json.ts";
import type { TextEncoderFolder } from "../checkpoint/text_encoder_folder.ts";
import { openWeights, type WeightFiles } from "../checkpoint/weight_source.ts";
import { writeSafetensors } from "../checkpoint/write_safetensors.ts";
import { removeIfPresent, removeTemporaries, writeFileAtomically } from "../media/write_file_atomically.ts";
import { escapeName } from "../text/escape_name.ts";
import type { ConvertCommand } from "./arguments.ts";
import { checkDiskSpace } from "./check_disk_space.ts";
import { encodeEmptyPrompt } from "./encode_empty_prompt.ts";
import { CliError } from "./exit_codes.ts";
import { openModelOutput } from "./model_output.ts";
import type { Reporter } from "./progress.ts";

/** Names of weights, each the first that is looked for in its part, so that nothing else can be meant. */
const WEIGHTS = {
  unet: "unet/diffusion_pytorch_model.safetensors",
  vae: "vae/diffusion_pytorch_model.safetensors",
  dgafnet: "dgafnet/diffusion_pytorch_model.safetensors",
  controlnet: "controlnet/diffusion_pytorch_model.safetensors",
  flow: "flow/diffusion_pytorch_model.safetensors",
  text_encoder: "text_encoder/model.safetensors",
} as const;
const PARTS = Object.keys(WEIGHTS) as (keyof typeof WEIGHTS)[];
/** Written last: without it a folder is no model. */
const INDEX = "model_index.json";
const FLOW_CONFIG = "flow/config.json";
const EMPTY_PROMPT = "text_encoder/empty_prompt.safetensors";

/** Weights in one file or several, their index, and what `torch.save` wrote. */
const WEIGHT_FILE = /\.safetensors(?:\.|$)|\.pth?$/;

/** What a command reports to, and what stops it. */
interface Control {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** What becomes of a model, by the names of the files to be written. */
interface Conversion {
  readonly weights: ReadonlyMap<string, ConvertedWeights>;
  /** Paths of files that are kept as they are. */
  readonly copies: ReadonlyMap<string, string>;
  /** Contents of files that the model has not, or has otherwise. */
  readonly texts: ReadonlyMap<string, string>;
  /** What encodes the empty prompt once its weights are written; null where the model has that encoded. */
  readonly encoder: TextEncoderFolder | null;
}

/**
 * Writes a model that `upscale` accepts as a folder of plain names with f16 weights. What does not depend on weights is
 * copied, and the empty prompt is encoded if it is not yet. Files are written one by one, each complete or not at all, and
 * the one that makes the folder a model is the last. One tensor at a time is in memory.
 */
export async function convert(command: ConvertCommand, { reporter, signal }: Control): Promise<void> {
  const { output, precision, overwrite, flow, temporal } = command;
  const model = await openModelFolder(command.model, { flow, temporal });
  using opened = new DisposableStack();
  const sources = new Map<string, WeightFiles>();
  for (const part of PARTS) {
    const source = await openPart(model, part);
    if (source) sources.set(WEIGHTS[part], opened.use(source));
  }
  const { copies, texts } = await otherFiles(model, { hasOtherTemporal: temporal !== undefined });
  await openModelOutput(output, {
    names: [...sources.keys(), ...texts.keys(), ...copies.keys(), EMPTY_PROMPT],
    sources: [model.path, ...(await model.files()).values()],
    overwrite,
  });

  const weights = new Map<string, ConvertedWeights>();
  for (const [name, source] of sources) {
    const converted = await convertWeights(source, { precision, signal });
    for (const tensor of converted.tooLarge) {
      const message = `"${
        escapeName(tensor)
      }" of ${source.description} stays f32: f16 does not reach its values`;
      reporter.report({ event: "warning", message });
    }
    weights.set(name, converted);
  }
  const bytes = [...weights.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  await checkDiskSpace(output, { need: { state: bytes, frames: 0 }, reporter });
  const encoder = model.hasEmptyPrompt ? null : model.textEncoder;
  try {
    await writeModel(output, { weights, copies, texts, encoder }, { reporter, signal });
  } catch (error) {
    throw explain(error, signal);
  }
  reporter.report({ event: "converted", bytes, elapsed_ms: reporter.elapsedMs, output });
}

/** The weights of a part, or null where the model has none. */
async function openPart(model: ModelFolder, part: keyof typeof WEIGHTS): Promise<WeightFiles | null> {
  if (part === "text_encoder") return model.textEncoder && await openWeights(model.path, part);
  return model.configs[part] && await model.openWeights(part);
}

async function otherFiles(
  model: ModelFolder,
  { hasOtherTemporal }: { readonly hasOtherTemporal: boolean },
): Promise<Pick<Conversion, "copies" | "texts">> {
  const copies = new Map(
    [...await model.files()].filter(([name]) => name === EMPTY_PROMPT || !WEIGHT_FILE.test(name)),
  );
  const texts = new Map<string, string>();
  if (model.configs.flow && !copies.has(FLOW_CONFIG)) {
    texts.set(FLOW_CONFIG, toText({ _class_name: "RAFT", ...model.configs.flow }));
  }
  if (hasOtherTemporal) {
    texts.set(INDEX, toText(await indexWithTemporal(copies.get(INDEX)!, model.configs)));
    copies.delete(INDEX);
  }
  return { copies, texts };
}

/** The index at `path`, told the module that the model has now and the strength that goes with it. */
async function indexWithTemporal(path: string, { index, dgafnet }: ModelConfigs): Promise<object> {
  const json = await readJson(path, { label: INDEX, maxBytes: MAX_CONFIG_BYTES });
  const { dgafnet: _dgafnet, controlnet: _controlnet, ...others } = json as Record<string, unknown>;
  const module = dgafnet
    ? { dgafnet: ["diffusers", "DGAFNetModel"] }
    : { controlnet: ["diffusers", "ControlNetModel"] };
  return { ...others, ...module, conditioning_scale: index.conditioning_scale };
}

function toText(json: object): string {
  return `${JSON.stringify(json, null, 2)}\n`;
}

async function writeModel(
  output: string,
  { weights, copies, texts, encoder }: Conversion,
  { reporter, signal }: Control,
): Promise<void> {
  const names = [...weights.keys(), ...texts.keys(), ...copies.keys()];
  for (const name of [INDEX, EMPTY_PROMPT]) await removeIfPresent(join(output, name));
  for (const folder of new Set(names.map(dirname))) {
    const path = join(output, folder), own = names.map((name) => basename(name));
    await Deno.mkdir(path, { recursive: true });
    await removeTemporaries(path, (name) => own.includes(name));
  }
  const total = [...weights.values()].reduce((sum, { shapes }) => sum + shapes.size, 0);
  let done = 0;
  for (const [name, { shapes, halves, values }] of weights) {
    const counted = counting(values(), () => reporter.progress({ stage: "convert", done: ++done, total }));
    await writeFileAtomically(join(output, name), writeSafetensors(shapes, counted, { halves }));
  }
  signal.throwIfAborted();
  const emptyPrompt = encoder && await encodeEmptyPrompt({ ...encoder, root: output }, reporter);
  if (emptyPrompt) await writeFileAtomically(join(output, EMPTY_PROMPT), emptyPrompt);
  const others = [...texts.keys(), ...copies.keys()].filter((name) => name !== INDEX);
  for (const name of [...others, INDEX]) {
    signal.throwIfAborted();
    const text = texts.get(name);
    const content = text === undefined
      ? await Deno.readFile(copies.get(name)!)
      : new TextEncoder().encode(text);
    await writeFileAtomically(join(output, name), content);
  }
}

/** Passes on `values` and tells when the receiver is done with one. */
async function* counting<T>(values: AsyncIterable<T>, onDone: () => void): AsyncGenerator<T> {
  for await (const value of values) {
    yield value;
    onDone();
  }
}

/** What to throw for an error of `writeModel`: a failed write has reasons that are not the disk's. */
function explain(error: unknown, signal: AbortSignal): unknown {
  const cause = error instanceof Error ? error.cause : undefined;
  const reason = [error, cause].find((e) =>
    e instanceof CheckpointError || (signal.aborted && e === signal.reason)
  );
  if (!(reason instanceof CliError)) return reason ?? error;
  return new CliError(
    reason.exitCode,
    `${reason.message}: the output is not complete; run the same command again with --overwrite`,
    { cause: reason },
  );
}
