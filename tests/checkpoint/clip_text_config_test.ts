import assert from "node:assert/strict";
import { parseCLIPTextConfig } from "../../src/checkpoint/clip_text_config.ts";
import { ConfigError } from "../../src/checkpoint/errors.ts";

Deno.test("parseCLIPTextConfig() reads the public x4-upscaler's configuration", () => {
  const json = {
    _name_or_path: "text_encoder",
    architectures: ["CLIPTextModel"],
    attention_dropout: 0,
    bos_token_id: 0,
    dropout: 0,
    eos_token_id: 2,
    hidden_act: "gelu",
    hidden_size: 1024,
    initializer_factor: 1,
    initializer_range: 0.02,
    intermediate_size: 4096,
    layer_norm_eps: 1e-5,
    max_position_embeddings: 77,
    model_type: "clip_text_model",
    num_attention_heads: 16,
    num_hidden_layers: 23,
    pad_token_id: 1,
    projection_dim: 512,
    torch_dtype: "float32",
    transformers_version: "4.25.0.dev0",
    vocab_size: 49408,
  };
  assert.deepEqual(parseCLIPTextConfig(json, "f.json"), {
    vocab_size: 49408,
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 23,
    num_attention_heads: 16,
    max_position_embeddings: 77,
    hidden_act: "gelu",
    layer_norm_eps: 1e-5,
  });
});

Deno.test("parseCLIPTextConfig() fills in transformers' defaults", () => {
  assert.deepEqual(parseCLIPTextConfig({}, "f.json"), {
    vocab_size: 49408,
    hidden_size: 512,
    intermediate_size: 2048,
    num_hidden_layers: 12,
    num_attention_heads: 8,
    max_position_embeddings: 77,
    hidden_act: "quick_gelu",
    layer_norm_eps: 1e-5,
  });
});

Deno.test("parseCLIPTextConfig() reports everything it does not support", () => {
  assert.deepEqual(problemsOf({ hidden_act: "gelu_new", model_type: "t5", use_attention_mask: true }), [
    'f.json: "use_attention_mask" is true, which is not supported: wanted null, false or no such key',
    'f.json: model_type is "t5", wanted "clip_text_model"',
    'f.json: hidden_act is "gelu_new", wanted ("gelu" | "quick_gelu")',
  ]);
  assert.deepEqual(problemsOf({ architectures: ["CLIPTextModelWithProjection"] }), [
    'f.json: architectures.0 is "CLIPTextModelWithProjection", wanted "CLIPTextModel"',
  ]);
  assert.deepEqual(problemsOf({ num_attention_heads: 7, vocab_size: 1_000_000, hidden_size: 1024 }), [
    "f.json: num_attention_heads is 7, wanted a divisor of hidden_size, 1024, that leaves each head a multiple of 4 " +
    "and at most 512 channels",
    "f.json: vocab_size is 1000000, which makes a table of 4096000000 bytes, wanted less than 2147483648",
  ]);
});

function problemsOf(json: unknown): readonly string[] {
  try {
    parseCLIPTextConfig(json, "f.json");
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}
