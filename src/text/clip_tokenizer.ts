import { Tokenizer } from "@huggingface/tokenizers";

const START = "<|startoftext|>";
const END = "<|endoftext|>";

/** What a CLIP tokenizer knows of its language: byte-pair encoding as `vocab.json` and `merges.txt` hold it. */
export interface CLIPVocabulary {
  /** Id of each token; has `<|startoftext|>` and `<|endoftext|>`. */
  readonly ids: Readonly<Record<string, number>>;
  /** Pairs of tokens that become one, those to join first before others. */
  readonly merges: readonly (readonly [string, string])[];
  /** The token that fills up short prompts, one of `ids`. */
  readonly padding: string;
  /** Tokens of every encoded prompt, start, end and padding included; 2 or more. */
  readonly length: number;
}

/** An encoded prompt. */
export interface CLIPTokens {
  /** As many as the vocabulary's `length`. */
  readonly ids: readonly number[];
  /** The end of the prompt that found no room, as the tokens spell it; "" where all did. */
  readonly cut: string;
}

/**
 * transformers' CLIPTokenizer: Unicode composed, white space joined, lower case, byte-pair encoding, start and end
 * token, cut and padded to one length.
 */
export class CLIPTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #vocabulary: CLIPVocabulary;

  /** Throws RangeError if the vocabulary lacks the start, end or padding token, or for a length below 2. */
  constructor(vocabulary: CLIPVocabulary) {
    const { ids, merges, padding, length } = vocabulary;
    for (const token of [START, END, padding]) {
      if (!Object.hasOwn(ids, token)) {
        throw new RangeError(`Cannot make CLIP tokenizer: the vocabulary lacks "${token}"`);
      }
    }
    if (!(length >= 2)) {
      throw new RangeError(`Cannot make CLIP tokenizer: ${length} tokens to a prompt, 2 or more wanted`);
    }
    this.#vocabulary = vocabulary;
    this.#tokenizer = new Tokenizer({
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "NFC" },
          { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
          { type: "Lowercase" },
        ],
      },
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          {
            type: "Split",
            pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
            behavior: "Removed",
            invert: true,
          },
          { type: "ByteLevel", add_prefix_space: false },
        ],
      },
      model: { type: "BPE", vocab: ids, merges, unk_token: END, end_of_word_suffix: "</w>" },
      added_tokens: [START, END].map((content) => ({ content, id: ids[content], special: true })),
      post_processor: null,
      decoder: { type: "ByteLevel" },
    }, {});
  }

  /** The tokens of `prompt`; an empty prompt is start, end and padding. */
  encode(prompt: string): CLIPTokens {
    const { ids, padding, length } = this.#vocabulary;
    const found = this.#tokenizer.encode(prompt).ids;
    const kept = [ids[START]!, ...found.slice(0, length - 2), ids[END]!];
    const rest = found.slice(length - 2);
    return {
      ids: [...kept, ...Array<number>(length - kept.length).fill(ids[padding]!)],
      cut: rest.length > 0 ? this.#tokenizer.decode(rest).trim() : "",
    };
  }
}
