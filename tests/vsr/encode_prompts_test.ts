import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseCLIPTextConfig } from "../../src/checkpoint/clip_text_config.ts";
import { readCLIPVocabulary } from "../../src/checkpoint/clip_vocabulary.ts";
import { CheckpointError, ConfigError, MissingModelError } from "../../src/checkpoint/errors.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { readTextEncoderFolder } from "../../src/checkpoint/text_encoder_folder.ts";
import { writeSafetensors } from "../../src/checkpoint/write_safetensors.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { CLIPTextModel } from "../../src/models/clip_text.ts";
import { CLIPTokenizer } from "../../src/text/clip_tokenizer.ts";
import { encodePrompts } from "../../src/vsr/encode_prompts.ts";
import type { PromptEmbedding } from "../../src/vsr/job_state.ts";
import { checkNetworks } from "../../src/vsr/networks.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { gpuTest } from "../_gpu_test.ts";
import { generatedWeights } from "../generated_weights.ts";
import { signalFrame } from "./_signal_frame.ts";
import {
  EMPTY_PROMPT,
  FITTING,
  SMALL,
  TOKENIZERS,
  withEncoder,
  withEncoderInstead,
} from "./_text_encoder_folder.ts";

const NANO = fileURLToPath(new URL("../../weights/nano", import.meta.url));
const PROMPTS = ["", "a photo of a cat", "word ".repeat(80)];

gpuTest("encodePrompts() reads a model folder and gives the states of its tokens", async (gpu) => {
  await withEncoder(SMALL, async (root) => {
    const embeddings = await encode(gpu, root, PROMPTS);
    assert.deepEqual(embeddings.map(({ shape }) => shape), PROMPTS.map(() => [77, 16]));
    const tokenizer = new CLIPTokenizer(await readCLIPVocabulary(TOKENIZERS, "clip"));
    const expected = await statesOf(gpu, PROMPTS.map((prompt) => tokenizer.encode(prompt).ids));
    assert.equal(expected.length, 3 * 77 * 16);
    assert.deepEqual(embeddings.flatMap(({ data }) => [...data]), [...expected]);
  });
});

Deno.test("readTextEncoderFolder() refuses an encoder that is too small for the tokenizer", async () => {
  await withEncoder({ ...SMALL, vocab_size: 49_407, max_position_embeddings: 9 }, async (root) => {
    await assert.rejects(readTextEncoderFolder(root), (error: Error) => {
      assert.deepEqual((error as ConfigError).problems, [
        "tokenizer: the largest token is 49407, wanted less than vocab_size of text_encoder/config.json, 49407",
        "tokenizer: prompts have 77 tokens, wanted at most max_position_embeddings of text_encoder/config.json, 9",
      ]);
      return error instanceof ConfigError;
    });
  });
});

gpuTest("encodePrompts() says what the folder lacks, and which tensors do not fit", async (gpu) => {
  await withEncoder(SMALL, async (root) => {
    await Deno.writeTextFile(
      join(root, "text_encoder/config.json"),
      JSON.stringify({ ...SMALL, num_hidden_layers: 1 }),
    );
    await assert.rejects(encode(gpu, root), (error: Error) => {
      assert.ok(error instanceof CheckpointError);
      assert.equal(error.problems.length, 16);
      assert.match(error.problems[0]!, /^unexpected: "text_model\.encoder\.layers\.1\./);
      return true;
    });
    await Deno.remove(join(root, "text_encoder/model.safetensors"));
    await assert.rejects(encode(gpu, root), MissingModelError);
    await Deno.remove(join(root, "tokenizer"), { recursive: true });
    await assert.rejects(encode(gpu, root), /no "tokenizer\/vocab\.json"/);
  });
});

gpuTest("A model folder may have a text encoder instead of the empty prompt", async (gpu) => {
  await withEncoderInstead(async (root) => {
    const model = await openModelFolder(root);
    assert.deepEqual(await model.promptShape(""), [77, 64]);
    const files = [...(await model.files()).keys()].filter((name) => /^(text_encoder|tokenizer)/.test(name));
    assert.deepEqual(files, [
      "text_encoder/config.json",
      "text_encoder/model.safetensors",
      "tokenizer/vocab.json",
      "tokenizer/merges.txt",
      "tokenizer/tokenizer_config.json",
      "tokenizer/special_tokens_map.json",
    ]);
    await checkNetworks(gpu, model);
    const shallow = { ...FITTING, num_hidden_layers: 1 };
    await Deno.writeTextFile(join(root, "text_encoder/config.json"), JSON.stringify(shallow));
    await assert.rejects(checkNetworks(gpu, await openModelFolder(root)), (error: Error) => {
      assert.ok(error instanceof CheckpointError);
      assert.equal(error.problems.length, 16);
      assert.match(error.problems[0]!, /^text_encoder\/model\.safetensors: unexpected: /);
      return true;
    });
  });
});

Deno.test("openModelFolder() refuses a text encoder that does not fit the UNet, or has no tokenizer", async () => {
  await withEncoderInstead(async (root) => {
    await assert.rejects(openModelFolder(root), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        "text_encoder/config.json: hidden_size is 16, wanted 64 (cross_attention_dim of unet/config.json)",
      ]);
      return true;
    });
    await Deno.remove(join(root, "tokenizer"), { recursive: true });
    await Deno.remove(join(root, "text_encoder/model.safetensors"));
    await assert.rejects(openModelFolder(root), (error: Error) => {
      assert.ok(error instanceof MissingModelError);
      assert.deepEqual(error.problems, [
        'text_encoder: no "model.safetensors": copy it from the model\'s source',
        'no "tokenizer/vocab.json": copy it from the model\'s source',
      ]);
      return true;
    });
    const config = join(root, "text_encoder/config.json");
    await Deno.writeTextFile(config, JSON.stringify({ architectures: ["T5EncoderModel"] }));
    await assert.rejects(openModelFolder(root), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(
        error.message,
        /^Cannot use model ".*": not supported; get its configurations again, or choose/,
      );
      assert.match(error.problems[0]!, /: architectures\.0 is "T5EncoderModel", wanted "CLIPTextModel"$/);
      return true;
    });
  }, SMALL);
});

gpuTest(
  "Upscaler makes the same frames of a text encoder as of what it makes of the empty prompt",
  async (gpu) => {
    await withEncoderInstead(async (root) => {
      const clip = [signalFrame(0, { width: 16, height: 12 })];
      const upscale = async () => {
        using upscaler = await Upscaler.open({ model: root, allowCpu: true });
        const once = await Array.fromAsync(upscaler.upscale(clip, { steps: 1 }));
        assert.deepEqual(await Array.fromAsync(upscaler.upscale(clip, { steps: 1 })), once);
        return once;
      };
      const encoded = await upscale();
      const [embedding] = await encode(gpu, root), { data, shape } = embedding!;
      await Deno.writeFile(
        join(root, EMPTY_PROMPT),
        ReadableStream.from(
          writeSafetensors(new Map([["prompt_embeds", shape]]), ReadableStream.from([data])),
        ),
      );
      assert.deepEqual(await upscale(), encoded);
      await Deno.copyFile(join(NANO, EMPTY_PROMPT), join(root, EMPTY_PROMPT));
      assert.notDeepEqual(await upscale(), encoded);
    });
  },
);

async function encode(gpu: Gpu, root: string, prompts: readonly string[] = [""]): Promise<PromptEmbedding[]> {
  return await encodePrompts(gpu, await readTextEncoderFolder(root), { prompts });
}

async function statesOf(gpu: Gpu, prompts: (readonly number[])[]): Promise<Float32Array> {
  const weights = generatedWeights(gpu, { prefix: "text_encoder." });
  try {
    const encoder = new CLIPTextModel(weights, parseCLIPTextConfig(SMALL, "config.json"), prompts);
    await weights.load();
    const rec = new Recorder(gpu);
    const y = encoder.forward(rec);
    using plan = await rec.finish([y]);
    gpu.submit((commands) => plan.encode(commands));
    return await gpu.read(y);
  } finally {
    weights.free();
  }
}
