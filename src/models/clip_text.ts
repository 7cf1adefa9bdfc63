import type { CLIPTextConfig } from "../checkpoint/clip_text_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attention } from "../kernels/attention.ts";
import { add } from "../kernels/elementwise.ts";
import { LayerNorm } from "../nn/layer_norm.ts";
import { Linear } from "../nn/linear.ts";
import type { Packing, PartToPack } from "../nn/weight_upload.ts";
import type { Weights } from "../nn/weights.ts";

/**
 * transformers' CLIPTextModel without its pooled output: token ids to the hidden state of each token.
 *
 * It is built for the prompts it shall encode, lists of token ids of one length, so that only their rows of the table
 * of embeddings, which has one for each of some 50,000 tokens, take memory on the GPU.
 */
export class CLIPTextModel {
  readonly text_model: TextTransformer;

  /** Throws RangeError for prompts that are none, empty, too long or of different lengths, and for unknown ids. */
  constructor(w: Weights, config: CLIPTextConfig, prompts: readonly (readonly number[])[]) {
    checkPrompts(config, prompts);
    this.text_model = new TextTransformer(w.at("text_model"), config, prompts);
  }

  /** The last hidden state after the final norm, [N, L, hidden_size], of the N prompts of L tokens. */
  forward(rec: Recorder): Tensor {
    return this.text_model.forward(rec);
  }
}

class TextTransformer {
  readonly embeddings: TextEmbeddings;
  readonly layers: readonly EncoderLayer[];
  readonly final_layer_norm: LayerNorm;
  readonly #label: string;

  constructor(w: Weights, config: CLIPTextConfig, prompts: readonly (readonly number[])[]) {
    const { hidden_size, num_hidden_layers, layer_norm_eps } = config;
    this.embeddings = new TextEmbeddings(w.at("embeddings"), config, prompts);
    this.layers = Array.from(
      { length: num_hidden_layers },
      (_, i) => new EncoderLayer(w.at("encoder.layers").at(i), config),
    );
    this.final_layer_norm = new LayerNorm(w.at("final_layer_norm"), hidden_size, layer_norm_eps);
    this.#label = w.label;
  }

  forward(rec: Recorder): Tensor {
    let x = this.embeddings.forward(rec);
    rec.tap(`${this.#label}.embeddings`, x);
    this.layers.forEach((layer, i) => {
      x = layer.forward(rec, x);
      rec.tap(`${this.#label}.encoder.layers.${i}`, x);
    });
    return this.final_layer_norm.forward(rec, x);
  }
}

/** Learned embedding of each token plus that of its place. */
class TextEmbeddings {
  readonly #tokens: Tensor;
  readonly #positions: Tensor;
  readonly #label: string;

  constructor(w: Weights, config: CLIPTextConfig, prompts: readonly (readonly number[])[]) {
    const { vocab_size, max_position_embeddings, hidden_size } = config;
    const length = prompts[0]!.length, shape = [prompts.length, length, hidden_size];
    const ids = prompts.flat();
    const table = (rows: readonly number[]): Packing => ({
      shape,
      unit: hidden_size,
      pack: (part) => writeRows(part, { channels: hidden_size, rows }),
    });
    const positions = ids.map((_, i) => i % length);
    this.#tokens = w.parameter("token_embedding.weight", [vocab_size, hidden_size], table(ids));
    this.#positions = w.parameter(
      "position_embedding.weight",
      [max_position_embeddings, hidden_size],
      table(positions),
    );
    w.ignore("position_ids"); // the numbers 0, 1, 2, ... in older checkpoints
    this.#label = w.label;
  }

  forward(rec: Recorder): Tensor {
    return add(rec, this.#tokens, this.#positions, { label: this.#label });
  }
}

/** Causal self-attention and an MLP, each after a layer norm and added. */
class EncoderLayer {
  readonly layer_norm1: LayerNorm;
  readonly self_attn: CausalAttention;
  readonly layer_norm2: LayerNorm;
  readonly mlp: MLP;

  constructor(w: Weights, config: CLIPTextConfig) {
    const { hidden_size, layer_norm_eps } = config;
    this.layer_norm1 = new LayerNorm(w.at("layer_norm1"), hidden_size, layer_norm_eps);
    this.self_attn = new CausalAttention(w.at("self_attn"), config);
    this.layer_norm2 = new LayerNorm(w.at("layer_norm2"), hidden_size, layer_norm_eps);
    this.mlp = new MLP(w.at("mlp"), config);
  }

  forward(rec: Recorder, x: Tensor): Tensor {
    const h = this.self_attn.forward(rec, this.layer_norm1.forward(rec, x), x);
    return this.mlp.forward(rec, this.layer_norm2.forward(rec, h), h);
  }
}

/** Self-attention in which a token sees itself and those before it. */
class CausalAttention {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly out_proj: Linear;
  readonly #heads: number;
  readonly #label: string;

  constructor(w: Weights, { hidden_size, num_attention_heads }: CLIPTextConfig) {
    const square = { in: hidden_size, out: hidden_size };
    this.q_proj = new Linear(w.at("q_proj"), square);
    this.k_proj = new Linear(w.at("k_proj"), square);
    this.v_proj = new Linear(w.at("v_proj"), square);
    this.out_proj = new Linear(w.at("out_proj"), square);
    this.#heads = num_attention_heads;
    this.#label = w.label;
  }

  forward(rec: Recorder, x: Tensor, residual: Tensor): Tensor {
    const q = this.q_proj.forward(rec, x), k = this.k_proj.forward(rec, x), v = this.v_proj.forward(rec, x);
    const attended = attention(rec, q, k, v, { heads: this.#heads, causal: true, label: this.#label });
    return this.out_proj.forward(rec, attended, { residual });
  }
}

class MLP {
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly #activation: CLIPTextConfig["hidden_act"];

  constructor(w: Weights, { hidden_size, intermediate_size, hidden_act }: CLIPTextConfig) {
    this.fc1 = new Linear(w.at("fc1"), { in: hidden_size, out: intermediate_size });
    this.fc2 = new Linear(w.at("fc2"), { in: intermediate_size, out: hidden_size });
    this.#activation = hidden_act;
  }

  forward(rec: Recorder, x: Tensor, residual: Tensor): Tensor {
    const h = this.fc1.forward(rec, x, { activation: this.#activation });
    return this.fc2.forward(rec, h, { residual });
  }
}

function checkPrompts(config: CLIPTextConfig, prompts: readonly (readonly number[])[]): void {
  const { vocab_size, max_position_embeddings } = config;
  const lengths = prompts.map((ids) => ids.length), [length = 0] = lengths;
  if (length < 1 || length > max_position_embeddings || lengths.some((other) => other !== length)) {
    throw new RangeError(
      `Cannot encode prompts of [${lengths}] tokens: one or more of one length from 1 to ${max_position_embeddings} wanted`,
    );
  }
  const unknown = prompts.flat().find((id) => !Number.isInteger(id) || id < 0 || id >= vocab_size);
  if (unknown !== undefined) {
    throw new RangeError(`Cannot encode token ${unknown}: a whole number from 0 to ${vocab_size - 1} wanted`);
  }
}

/** Writes those of `rows` that a part of a table holds, `channels` values each. */
function writeRows(
  { values, begin, write }: PartToPack,
  { channels, rows }: { readonly channels: number; readonly rows: readonly number[] },
): void {
  const padded = 4 * Math.ceil(channels / 4);
  rows.forEach((row, i) => {
    const from = row * channels - begin;
    if (from < 0 || from >= values.length) return;
    write(values.subarray(from, from + channels), i * padded);
  });
}
