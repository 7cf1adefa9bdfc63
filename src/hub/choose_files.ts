import { HubError } from "./errors.ts";

/** A file of a model on the hub. */
export interface HubFile {
  /** Path in the model's folder, with forward slashes. */
  readonly name: string;
  readonly byteLength: number;
  /** What the bytes must hash to, in hexadecimal digits; the cache calls the file by it. */
  readonly digest: string;
  /** Whether `digest` is plain SHA-256 or Git's SHA-1 of a blob. */
  readonly algorithm: "sha256" | "git-sha1";
}

/** Parts of the x4-upscaler's, StableVSR's and DGAF-VSR's folders that have weights. */
const WEIGHT_PARTS = ["unet", "vae", "text_encoder", "controlnet", "dgafnet", "flow"] as const;
const INDEX = "model_index.json";
/** Everything small that may be read, and the text embedding that stands in for the text encoder. */
const SMALL = new RegExp(
  [
    `(?:${WEIGHT_PARTS.join("|")})/config\\.json`,
    "(?:low_res_)?scheduler/scheduler_config\\.json",
    "tokenizer/(?:vocab|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\\.json",
    "tokenizer/merges\\.txt",
    "text_encoder/empty_prompt\\.safetensors",
  ].map((pattern) => `^${pattern}$`).join("|"),
);
/** Weights as diffusers and transformers save them: stem, variant, shard, or the index of shards, spelt in two ways. */
const WEIGHTS =
  /^(diffusion_pytorch_model|model)(?:\.(\w+))?(?:-\d{5}-of-\d{5})?\.safetensors(?:\.index(?:\.(\w+))?\.json)?$/;
const SHARD = /-\d{5}-of-\d{5}\.safetensors$/;

/**
 * The files to fetch: configurations, tokenizer, and of each part one set of weights in safetensors, without a variant
 * where there is such a set, else "fp16", else the first by name. `repo` is for messages. Throws `HubError` (unusable)
 * if this is no model folder in diffusers' layout, or if a part has no such weights.
 */
export function chooseFiles(files: readonly HubFile[], repo: string): HubFile[] {
  if (!files.some(({ name }) => name === INDEX)) {
    throw new HubError(
      "unusable",
      `Cannot fetch "${repo}": it has no ${INDEX}, wanted a model folder in diffusers' layout; choose another model`,
    );
  }
  const chosen = files.filter(({ name }) => name === INDEX || SMALL.test(name));
  const lacking: string[] = [];
  for (const part of WEIGHT_PARTS) {
    const weights = chooseWeights(files.filter(({ name }) => name.startsWith(`${part}/`)), part);
    if (weights.length === 0 && chosen.some(({ name }) => name === `${part}/config.json`)) lacking.push(part);
    chosen.push(...weights);
  }
  if (lacking.length === 0) return chosen;
  throw new HubError(
    "unusable",
    `Cannot fetch "${repo}": no safetensors weights in ${lacking.join(", ")}, and no other kind is read; ` +
      "choose another revision with --revision, or convert them and use the folder",
  );
}

function chooseWeights(files: readonly HubFile[], part: string): HubFile[] {
  const sets = new Map<string, { readonly stem: string; readonly variant: string; files: HubFile[] }>();
  for (const file of files) {
    const base = file.name.slice(part.length + 1);
    const [, stem, variant, indexVariant] = WEIGHTS.exec(base) ?? [];
    if (stem === undefined) continue;
    const isSingle = base.endsWith(".safetensors") && !SHARD.test(base);
    const key = [stem, variant ?? indexVariant ?? "", isSingle].join();
    const set = sets.get(key) ?? { stem, variant: variant ?? indexVariant ?? "", files: [] };
    set.files.push(file);
    sets.set(key, set);
  }
  // Shards without their index cannot be read.
  for (const [key, { files }] of sets) {
    if (!files.some(({ name }) => name.endsWith(".json") || !SHARD.test(name))) sets.delete(key);
  }
  // Reading prefers the same: no variant, then a single file, then diffusers' stem.
  const rank = ({ variant, stem, files }: { variant: string; stem: string; files: HubFile[] }) =>
    [
      variant === "" ? 0 : variant === "fp16" ? 1 : 2,
      variant,
      files.length > 1 ? 1 : 0,
      stem === "model" ? 1 : 0,
    ].join();
  return [...sets.values()].sort((a, b) => rank(a) < rank(b) ? -1 : 1)[0]?.files ?? [];
}
