import { join } from "node:path";
import type { CLIPVocabulary } from "../text/clip_tokenizer.ts";
import { type CLIPTextConfig, parseCLIPTextConfig } from "./clip_text_config.ts";
import { CLIP_VOCABULARY_FILES, readCLIPVocabulary } from "./clip_vocabulary.ts";
import { containedFile, requiredFile } from "./contained_file.ts";
import { ConfigError } from "./errors.ts";
import { locateWeights } from "./locate_weights.ts";
import { MAX_CONFIG_BYTES, readJson } from "./read_json.ts";
import { weightFileNames } from "./weight_source.ts";

const CONFIG = "text_encoder/config.json";

/** What a model folder says of its text encoder, weights aside. */
export interface TextEncoderFolder {
  /** The model folder. */
  readonly root: string;
  readonly config: CLIPTextConfig;
  readonly vocabulary: CLIPVocabulary;
}

/**
 * Reads `text_encoder/config.json` and the vocabulary in `tokenizer/` of the model folder `root`.
 * Throws MissingModelError if one is not there, ConfigError where one is not supported or they do not fit together.
 */
export async function readTextEncoderFolder(root: string): Promise<TextEncoderFolder> {
  const json = await readJson(await requiredFile(root, CONFIG), {
    label: CONFIG,
    maxBytes: MAX_CONFIG_BYTES,
  });
  const config = parseCLIPTextConfig(json, CONFIG);
  const vocabulary = await readCLIPVocabulary(root, "tokenizer");
  const problems: string[] = [];
  const last = Object.values(vocabulary.ids).reduce((a, b) => Math.max(a, b), 0);
  if (last >= config.vocab_size) {
    problems.push(
      `tokenizer: the largest token is ${last}, wanted less than vocab_size of ${CONFIG}, ${config.vocab_size}`,
    );
  }
  if (vocabulary.length > config.max_position_embeddings) {
    problems.push(
      `tokenizer: prompts have ${vocabulary.length} tokens, wanted at most max_position_embeddings of ${CONFIG}, ` +
        `${config.max_position_embeddings}`,
    );
  }
  if (problems.length > 0) throw new ConfigError("Cannot use text encoder and tokenizer together", problems);
  return { root, config, vocabulary };
}

/** Names, relative to the model folder `root`, of all files that encoding a prompt depends on. */
export async function textEncoderFiles(root: string): Promise<string[]> {
  const names = [CONFIG, ...await weightFileNames(root, await locateWeights(root, "text_encoder"))];
  for (const file of CLIP_VOCABULARY_FILES) {
    const name = join("tokenizer", file);
    if (await containedFile(root, name) !== null) names.push(name);
  }
  return names;
}
