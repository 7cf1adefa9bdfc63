import assert from "node:assert/strict";
import { CLIPTokenizer, type CLIPVocabulary } from "../../src/text/clip_tokenizer.ts";

const VOCABULARY: CLIPVocabulary = {
  ids: {
    "!": 0,
    "a": 1,
    "b": 2,
    "a</w>": 3,
    "b</w>": 4,
    "ab</w>": 5,
    "Ã</w>": 6,
    "Ã": 7,
    "¡</w>": 8,
    "<|startoftext|>": 9,
    "<|endoftext|>": 10,
  },
  merges: [["a", "b</w>"]],
  padding: "!",
  length: 6,
};

Deno.test("CLIPTokenizer makes start, end and padding of an empty prompt and of white space", () => {
  const tokenizer = new CLIPTokenizer(VOCABULARY);
  assert.deepEqual(tokenizer.encode(""), { ids: [9, 10, 0, 0, 0, 0], cut: "" });
  assert.deepEqual(tokenizer.encode(" \n\t "), { ids: [9, 10, 0, 0, 0, 0], cut: "" });
});

Deno.test("CLIPTokenizer joins pairs, in lower case, and ends words at white space", () => {
  const { ids } = new CLIPTokenizer(VOCABULARY).encode("AB  b\nba");
  assert.deepEqual(ids, [9, 5, 4, 2, 3, 10]);
});

Deno.test("CLIPTokenizer composes Unicode and takes its UTF-8 bytes", () => {
  const tokenizer = new CLIPTokenizer(VOCABULARY);
  assert.deepEqual(tokenizer.encode("\u00e1").ids, [9, 7, 8, 10, 0, 0]);
  assert.deepEqual(tokenizer.encode("a\u0301").ids, [9, 7, 8, 10, 0, 0]);
});

Deno.test("CLIPTokenizer cuts what is too long and says what", () => {
  const tokenizer = new CLIPTokenizer(VOCABULARY);
  assert.deepEqual(tokenizer.encode("a b a b"), { ids: [9, 3, 4, 3, 4, 10], cut: "" });
  assert.deepEqual(tokenizer.encode("a b a b A  \u00e1 ab"), {
    ids: [9, 3, 4, 3, 4, 10],
    cut: "a \u00e1 ab",
  });
});

Deno.test("CLIPTokenizer puts the end token for what the vocabulary lacks", () => {
  assert.deepEqual(new CLIPTokenizer(VOCABULARY).encode("a ? b").ids, [9, 3, 10, 4, 10, 0]);
});

Deno.test("CLIPTokenizer refuses a vocabulary without its special tokens, and a length below 2", () => {
  assert.throws(
    () => new CLIPTokenizer({ ...VOCABULARY, padding: "?" }),
    new RangeError('Cannot make CLIP tokenizer: the vocabulary lacks "?"'),
  );
  assert.throws(
    () => new CLIPTokenizer({ ...VOCABULARY, ids: { "!": 0, "<|startoftext|>": 1 } }),
    new RangeError('Cannot make CLIP tokenizer: the vocabulary lacks "<|endoftext|>"'),
  );
  assert.throws(
    () => new CLIPTokenizer({ ...VOCABULARY, length: 1 }),
    new RangeError("Cannot make CLIP tokenizer: 1 tokens to a prompt, 2 or more wanted"),
  );
});
