import assert from "node:assert/strict";
import { join } from "node:path";
import { readCLIPVocabulary } from "../../src/checkpoint/clip_vocabulary.ts";
import { ConfigError, MissingModelError } from "../../src/checkpoint/errors.ts";

const IDS = { "!": 0, "a": 1, "b</w>": 2, "ab</w>": 3, "<|startoftext|>": 4, "<|endoftext|>": 5 };
const MERGES = [["a", "b</w>"]];
const VOCAB_FILES = { "vocab.json": IDS, "merges.txt": "#version: 0.2\na b</w>\n" };
const MODEL = { type: "BPE", end_of_word_suffix: "</w>", vocab: IDS, merges: ["a b</w>"] };

async function read(files: Record<string, unknown>) {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(root, "tokenizer"));
    for (const [name, content] of Object.entries(files)) {
      const text = typeof content === "string" ? content : JSON.stringify(content);
      await Deno.writeTextFile(join(root, "tokenizer", name), text);
    }
    return await readCLIPVocabulary(root, "tokenizer");
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function problemsOf(files: Record<string, unknown>): Promise<readonly string[]> {
  try {
    await read(files);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

Deno.test("readCLIPVocabulary() takes vocab.json and merges.txt, with defaults for the rest", async () => {
  assert.deepEqual(await read(VOCAB_FILES), {
    ids: IDS,
    merges: MERGES,
    padding: "<|endoftext|>",
    length: 77,
  });
});

Deno.test("readCLIPVocabulary() takes tokenizer.json where there is no vocab.json, merges in either form", async () => {
  for (const merges of [["a b</w>"], MERGES]) {
    const { ids, merges: found } = await read({ "tokenizer.json": { model: { ...MODEL, merges } } });
    assert.deepEqual([ids, found], [IDS, MERGES]);
  }
});

Deno.test("readCLIPVocabulary() reads merges with any line ends", async () => {
  const { merges } = await read({ ...VOCAB_FILES, "merges.txt": "a b</w>\r\n! !\r\n" });
  assert.deepEqual(merges, [["a", "b</w>"], ["!", "!"]]);
});

Deno.test("readCLIPVocabulary() prefers the padding token of special_tokens_map.json", async () => {
  const config = { tokenizer_class: "CLIPTokenizer", model_max_length: 7, pad_token: { content: "a" } };
  const files = { ...VOCAB_FILES, "tokenizer_config.json": config };
  const alone = await read(files);
  assert.deepEqual([alone.padding, alone.length], ["a", 7]);
  const mapped = await read({ ...files, "special_tokens_map.json": { pad_token: "!" } });
  assert.equal(mapped.padding, "!");
});

Deno.test("readCLIPVocabulary() refuses other tokenizers", async () => {
  const config = { tokenizer_class: "T5Tokenizer", do_lower_case: false, model_max_length: 1 };
  assert.deepEqual(await problemsOf({ ...VOCAB_FILES, "tokenizer_config.json": config }), [
    'tokenizer/tokenizer_config.json: tokenizer_class is "T5Tokenizer", ' +
    'wanted ("CLIPTokenizer" | "CLIPTokenizerFast")',
    "tokenizer/tokenizer_config.json: do_lower_case is false, wanted true",
    "tokenizer/tokenizer_config.json: model_max_length is 1, wanted a whole number from 2 to 1024",
  ]);
  assert.deepEqual(
    await problemsOf({ "tokenizer.json": { model: { ...MODEL, end_of_word_suffix: null } } }),
    [
      'tokenizer/tokenizer.json: model.end_of_word_suffix is null, wanted "</w>"',
    ],
  );
});

Deno.test("readCLIPVocabulary() reports every wrong token and merge", async () => {
  assert.deepEqual(await problemsOf({ ...VOCAB_FILES, "vocab.json": { "a": 1.5, "<|startoftext|>": -1 } }), [
    'tokenizer/vocab.json: "<|endoftext|>" is missing, wanted a whole number',
    'tokenizer/vocab.json: "a" is 1.5, wanted a whole number from 0 to 999999',
    'tokenizer/vocab.json: "<|startoftext|>" is -1, wanted a whole number from 0 to 999999',
  ]);
  assert.deepEqual(await problemsOf({ ...VOCAB_FILES, "vocab.json": [] }), [
    "tokenizer/vocab.json: it is not a JSON object",
  ]);
  assert.deepEqual(await problemsOf({ ...VOCAB_FILES, "merges.txt": "a b</w>\na\na b c\n" }), [
    'tokenizer/merges.txt: merge 1 is "a", wanted two tokens',
    'tokenizer/merges.txt: merge 2 is "a b c", wanted two tokens',
  ]);
});

Deno.test("readCLIPVocabulary() refuses a file that is far too large before reading it", async () => {
  const spaces = " ".repeat(2 ** 24);
  assert.deepEqual(await problemsOf({ ...VOCAB_FILES, "merges.txt": `${spaces}\n` }), [
    "tokenizer/merges.txt: 16777217 bytes, wanted at most 16777216",
  ]);
});

Deno.test("readCLIPVocabulary() names the file that is missing", async () => {
  await assert.rejects(read({ "vocab.json": IDS }), (error: Error) => {
    assert.ok(error instanceof MissingModelError);
    assert.match(error.message, /no "tokenizer\/merges\.txt"/);
    return true;
  });
  await assert.rejects(read({}), (error: Error) => {
    assert.ok(error instanceof MissingModelError);
    assert.match(error.message, /no "tokenizer\/vocab\.json"/);
    return true;
  });
});
