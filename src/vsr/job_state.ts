import type { Gpu } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Flows } from "./flows.ts";
import type { JobStore, SavedFile } from "./job_store.ts";
import { readTensors } from "./read_tensors.ts";

const PROMPTS = "prompts", FLOWS = "flows", LATENTS = "latents", CLEAN = "clean";
/** Two, so that a damaged file costs one interval of work and not all of it. */
const GENERATIONS = 2;

/** The text encoder's output for one prompt: the last hidden states, row-major, [tokens, channels]. */
export interface PromptEmbedding {
  readonly data: Float32Array;
  readonly shape: readonly [number, number];
}

/** Sampling at a point between two frame-steps. */
export interface Samples {
  /** Finished frame-steps. */
  readonly done: number;
  /** One per frame, [1, h, w, L]. */
  readonly latents: readonly Tensor[];
  /** Clean estimate of the frame visited last, [1, h, w, L]. */
  readonly clean: Tensor;
}

/** How much work a job has kept. */
export function keptWork(job: JobStore): { readonly pairs: number; readonly frameSteps: number } {
  const flows = job.list(FLOWS).at(-1), latents = job.list(LATENTS).at(-1);
  return { pairs: flows ? numbersOf(flows)[1] : 0, frameSteps: latents ? numbersOf(latents)[0] : 0 };
}

/** Keeps the embeddings of the prompts, in their order. */
export async function savePrompts(
  job: JobStore,
  embeddings: readonly PromptEmbedding[],
): Promise<void> {
  await job.save(fileName(PROMPTS, embeddings.length), {
    shapes: new Map(embeddings.map(({ shape }, i) => [`prompt.${i}`, shape])),
    values: ReadableStream.from(embeddings.map(({ data }) => data)),
  });
}

/** The embeddings kept of `count` prompts, each of `shape` [tokens, channels]; null where they are missing or damaged. */
export async function loadPrompts(
  job: JobStore,
  { shape, count }: { readonly shape: readonly [number, number]; readonly count: number },
): Promise<PromptEmbedding[] | null> {
  const shapes = new Map(Array.from({ length: count }, (_, i) => [`prompt.${i}`, shape]));
  using file = await open(job, { name: fileName(PROMPTS, count), shapes });
  if (!file) return null;
  const embeddings: PromptEmbedding[] = [];
  for (const key of shapes.keys()) {
    embeddings.push({ data: new Float32Array((await file.readBytes(key)).buffer), shape });
  }
  return embeddings;
}

/** Keeps the flows of pair `from` (frames `from` and `from + 1`) and all later ones. Does nothing where there are none. */
export async function saveFlows(
  gpu: Gpu,
  job: JobStore,
  { flows, from }: { readonly flows: Flows; readonly from: number },
): Promise<void> {
  const to = flows.forward.length;
  if (to === from) return;
  const tensors = new Map<string, Tensor>();
  for (let pair = from; pair < to; pair++) {
    tensors.set(`forward.${pair}`, flows.forward[pair]!);
    if (flows.backward.length > 0) tensors.set(`backward.${pair}`, flows.backward[pair]!);
  }
  await save(gpu, job, { name: fileName(FLOWS, from, to), tensors });
}

/** The flows kept of the first pairs of a clip of `count` frames, each of `shape`; the caller frees them. */
export async function loadFlows(
  gpu: Gpu,
  job: JobStore,
  { shape, count, directions = 2 }: {
    readonly shape: readonly number[];
    readonly count: number;
    /** 1 for forward flows only; default 2. */
    readonly directions?: 1 | 2;
  },
): Promise<Flows> {
  const forward: Tensor[] = [], backward: Tensor[] = [];
  try {
    for (const name of job.list(FLOWS)) {
      const [from, to] = numbersOf(name);
      if (from !== forward.length || to >= count) continue;
      const shapes = new Map<string, readonly number[]>();
      for (let pair = from; pair < to; pair++) {
        shapes.set(`forward.${pair}`, shape);
        if (directions > 1) shapes.set(`backward.${pair}`, shape);
      }
      const tensors = await load(gpu, job, { name, shapes });
      for (let pair = from; tensors && pair < to; pair++) {
        forward.push(tensors.get(`forward.${pair}`)!);
        if (directions > 1) backward.push(tensors.get(`backward.${pair}`)!);
      }
    }
    return { forward, backward };
  } catch (error) {
    for (const flow of [...forward, ...backward]) gpu.free(flow);
    throw error;
  }
}

/** Keeps the state of sampling, and the one before it. */
export async function saveSamples(
  gpu: Gpu,
  job: JobStore,
  { done, latents, clean }: Samples,
): Promise<void> {
  const tensors = new Map([...latents.entries()].map(([frame, latent]) => [`${LATENTS}.${frame}`, latent]));
  await save(gpu, job, { name: fileName(LATENTS, done), tensors: tensors.set(CLEAN, clean) });
  for (const old of job.list(LATENTS).slice(0, -GENERATIONS)) await job.remove(old);
}

/**
 * The newest state of sampling that is undamaged, of latents of `shape` [1, h, w, L] for `count` frames; null where
 * there is none. The caller frees its tensors.
 */
export async function loadSamples(
  gpu: Gpu,
  job: JobStore,
  { shape, count }: { readonly shape: readonly number[]; readonly count: number },
): Promise<Samples | null> {
  const names = Array.from({ length: count }, (_, frame) => `${LATENTS}.${frame}`);
  const shapes = new Map([...names, CLEAN].map((name) => [name, shape]));
  for (const name of job.list(LATENTS).reverse()) {
    const tensors = await load(gpu, job, { name, shapes });
    if (!tensors) continue;
    const latents = names.map((name) => tensors.get(name)!);
    return { done: numbersOf(name)[0], latents, clean: tensors.get(CLEAN)! };
  }
  return null;
}

/** Names sort as the numbers in them. */
function fileName(folder: string, ...numbers: readonly number[]): string {
  return `${folder}/${numbers.map((n) => String(n).padStart(9, "0")).join("-")}.safetensors`;
}

function numbersOf(name: string): [number, number] {
  const [first = NaN, second = NaN] = (name.match(/\d+/g) ?? []).map(Number);
  return [first, second];
}

async function save(
  gpu: Gpu,
  job: JobStore,
  { name, tensors }: { readonly name: string; readonly tensors: ReadonlyMap<string, Tensor> },
): Promise<void> {
  const shapes = new Map([...tensors].map(([key, { shape }]) => [key, shape]));
  await job.save(name, { shapes, values: readTensors(gpu, [...tensors.values()]) });
}

/** A file of tensors of a job. */
interface StateFile {
  readonly name: string;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

/** Null where the file is missing, damaged, or holds something else. Close it after use. */
async function open(job: JobStore, { name, shapes }: StateFile): Promise<SavedFile | null> {
  using opened = new DisposableStack();
  const file = opened.use(await job.load(name));
  if (!file) return null;
  for (const [key, shape] of shapes) {
    const kept = file.tensors.get(key);
    if (kept?.dtype !== "F32" || String(kept.shape) !== String(shape)) return null;
  }
  opened.move();
  return file;
}

/** As `open()`, on the GPU. */
async function load(gpu: Gpu, job: JobStore, state: StateFile): Promise<Map<string, Tensor> | null> {
  using file = await open(job, state);
  if (!file) return null;
  const tensors = new Map<string, Tensor>();
  try {
    for (const [key, shape] of state.shapes) {
      const { buffer } = await file.readBytes(key);
      tensors.set(key, gpu.tensor(shape, key, new Float32Array(buffer)));
      await gpu.flushWrites();
    }
    return tensors;
  } catch (error) {
    for (const tensor of tensors.values()) gpu.free(tensor);
    throw error;
  }
}
