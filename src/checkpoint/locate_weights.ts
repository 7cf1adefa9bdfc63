import { join } from "node:path";
import { containedFile } from "./contained_file.ts";
import { MissingModelError, quote } from "./errors.ts";

/** The names diffusers and transformers save weights under, in the order they are looked for. */
const STEMS: readonly string[] = ["diffusion_pytorch_model", "model"];
/** As these names with a variant ("fp16"), in one file or as the index of shards, which is spelt in two ways. */
const VARIANT =
  /^(?:diffusion_pytorch_model|model)\.(?:\w+\.safetensors(?:\.index\.json)?|safetensors\.index\.\w+\.json)$/;
/** What `torch.save` writes, as torchvision's weights come. */
const TORCH = /\.pth?$/;
const OTHER_WEIGHTS = /\.(bin|ckpt|pth?|msgpack|onnx|safetensors)$/;

/** What `locateWeights` is told beside the folder. */
export interface LocateOptions {
  /** Whether one `.pth` or `.pt` file will do where there is no safetensors file. Default false. */
  readonly torch?: boolean | undefined;
}

/**
 * Name, relative to `root`, of the weight file in folder `part` of the model folder `root`, or of the index of its
 * shards: the plain name, else the only variant ("fp16") that is there. Throws MissingModelError if there is none, or
 * several that would do.
 */
export async function locateWeights(
  root: string,
  part: string,
  { torch = false }: LocateOptions = {},
): Promise<string> {
  const plain = [
    ...STEMS.map((stem) => `${stem}.safetensors`),
    ...STEMS.map((stem) => `${stem}.safetensors.index.json`),
  ];
  for (const name of plain) {
    if (await containedFile(root, join(part, name)) !== null) return join(part, name);
  }
  const names = (await entryNames(join(root, part))).sort();
  const variants = names.filter((name) => VARIANT.test(name));
  const candidates = variants.length > 0 || !torch ? variants : names.filter((name) => TORCH.test(name));
  const [name, ...rivals] = candidates;
  if (name === undefined) throw missingError(part, { names, torch });
  if (rivals.length === 0) return join(part, name);
  throw new MissingModelError("Cannot choose between weights", [
    `${labelOf(part)}: ${candidates.map(quote).join(", ")}, wanted one of them or "${plain[0]}"; ` +
    `rename the one to use to the latter, or leave it alone there`,
  ]);
}

function missingError(
  part: string,
  { names, torch }: {
    readonly names: readonly string[];
    readonly torch: boolean;
  },
): MissingModelError {
  const missing = `${labelOf(part)}: no "${part === "text_encoder" ? STEMS[1] : STEMS[0]}.safetensors"`;
  const others = names.filter((name) => OTHER_WEIGHTS.test(name));
  const readable = `only safetensors of that name, with or without a variant as in "model.fp16.safetensors"${
    torch ? ", and .pth files" : ""
  } are read`;
  const remedy = others.some((name) => name.endsWith(".safetensors"))
    ? "rename the file"
    : "get such a file from the model's source, or make one with safetensors.torch.save_file";
  const problem = others.length === 0
    ? `${missing}: copy it from the model's source`
    : `${missing} but ${others.map(quote).join(", ")}; ${readable}: ${remedy}`;
  return new MissingModelError("Cannot find weights", [problem]);
}

function labelOf(part: string): string {
  return part === "." ? "the folder" : part;
}

async function entryNames(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}
