// Writes a checkpoint with generated weights, which paint nothing of use, for benchmarks by hand and tests: of full size
// (dgaf takes 1.6 GB with f16), or a small one. Each value is a function of its tensor's name, so two runs are the same.
// Usage: deno run --allow-read --allow-write tools/generate_checkpoint.ts dgaf|stablevsr|x4 FOLDER [--f32] [--encoder] [--small]
//   --f32      weights in float32 instead of float16
//   --encoder  CLIP's text encoder instead of an embedding of the empty prompt; its tokenizer knows three words
//   --small    few channels

// deno-lint-ignore-file no-console -- a command prints

import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { writeSafetensors } from "../src/checkpoint/write_safetensors.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { writeFileAtomically } from "../src/media/write_file_atomically.ts";
import { type WeightRequests, Weights } from "../src/nn/weights.ts";
import { signal, weight } from "../tests/generated.ts";
import { checkpointLayout, type Layout, LAYOUTS, type PartLayout } from "./checkpoint_layouts.ts";

const TOKENIZER = new URL("../tests/text/fixtures/clip/", import.meta.url);

/** Notes the names and shapes of all tensors asked for. */
class NotedRequests implements WeightRequests {
  readonly #path: string;
  readonly #shapes: Map<string, readonly number[]>;

  constructor(shapes: Map<string, readonly number[]>, path = "") {
    this.#shapes = shapes;
    this.#path = path;
  }

  at(path: string | number): WeightRequests {
    return new NotedRequests(this.#shapes, `${this.#path}${path}.`);
  }

  has(): boolean {
    return true;
  }

  ignore(): void {}

  tensor(name: string, shape: readonly number[]): void {
    this.#shapes.set(this.#path + name, shape);
  }

  load(): Promise<void> {
    return Promise.reject(new Error("Cannot load weights: none are there yet"));
  }
}

/** Names and shapes of a part's tensors. */
export function tensorShapes(part: PartLayout): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  part.build(new Weights({ facts: {} } as Gpu, new NotedRequests(shapes), "generated")); // a device would be used only in load()
  return shapes;
}

/** What is to be generated. */
export interface GenerateOptions {
  readonly layout: Layout;
  readonly precision: "f16" | "f32";
  readonly encoder: boolean;
  readonly small: boolean;
}

/** Writes a checkpoint to `folder`, over what is there; one tensor at a time is in memory. */
export async function generateCheckpoint(folder: string, options: GenerateOptions): Promise<void> {
  const { precision, encoder } = options;
  const { parts, json, promptShape } = checkpointLayout(options.layout, options);

  async function write(name: string, content: Parameters<typeof writeFileAtomically>[1]): Promise<void> {
    await Deno.mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFileAtomically(join(folder, name), content);
  }

  for (const [part, layout] of Object.entries(parts)) {
    const shapes = tensorShapes(layout);
    const halves = new Set(precision === "f16" ? shapes.keys() : []);
    const file = part === "text_encoder" ? "model.safetensors" : "diffusion_pytorch_model.safetensors";
    await write(`${part}/config.json`, toJson(layout.config));
    await write(`${part}/${file}`, writeSafetensors(shapes, generatedValues(part, shapes), { halves }));
  }
  if (encoder) {
    for await (const { name } of Deno.readDir(TOKENIZER)) {
      await write(`tokenizer/${name}`, await Deno.readFile(new URL(name, TOKENIZER)));
    }
  } else {
    const shapes = new Map([["prompt_embeds", promptShape]]);
    const values = ReadableStream.from([signal("prompt_embeds", promptShape)]);
    await write("text_encoder/empty_prompt.safetensors", writeSafetensors(shapes, values));
  }
  for (const [name, content] of Object.entries(json)) await write(name, toJson(content));
}

async function* generatedValues(part: string, shapes: ReadonlyMap<string, readonly number[]>) {
  for (const [name, shape] of shapes) yield await Promise.resolve(weight(`${part}.${name}`, shape));
}

function toJson(content: object): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      f32: { type: "boolean", default: false },
      encoder: { type: "boolean", default: false },
      small: { type: "boolean", default: false },
    },
  });
  const [name, folder, ...others] = positionals;
  const layout = LAYOUTS.find((layout) => layout === name);
  if (layout === undefined || folder === undefined || others.length > 0) {
    console.error(`Usage: generate_checkpoint.ts ${LAYOUTS.join("|")} FOLDER [--f32] [--encoder] [--small]`);
    Deno.exit(64);
  }
  const { f32, ...options } = values;
  await generateCheckpoint(folder, { layout, precision: f32 ? "f32" : "f16", ...options });
}
