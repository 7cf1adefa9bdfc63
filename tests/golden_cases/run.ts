import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { toChannelsFirst, toChannelsLast } from "../_gpu_test.ts";
import { signal } from "../generated.ts";
import { type Golden, tensorOf } from "../golden_file.ts";

/** What a case computed, by the index's tensor names, in PyTorch's layout. */
export type Computed = Map<string, ArrayLike<number>>;

/** Computes a case. */
export type CaseRunner = (gpu: Gpu, golden: Golden) => Promise<Computed>;

/** A stored or generated input (N, C, H, W), uploaded as [N, H, W, C]. */
export function imageInput(gpu: Gpu, golden: Golden, name: string): Tensor {
  const { shape, data } = inputOf(golden, name);
  const [n = 1, c = 1, h = 1, w = 1] = shape;
  return gpu.tensor([n, h, w, c], name, toChannelsLast(data, shape));
}

/** A stored or generated input whose last axis is the channels: tokens (N, L, C), flows (N, H, W, 2). */
export function plainInput(gpu: Gpu, golden: Golden, name: string): Tensor {
  const { shape, data } = inputOf(golden, name);
  return gpu.tensor(shape, name, Float32Array.from(data));
}

/** Values and shape of an input: stored, or a signal of the shape that the options give. */
export function inputOf(golden: Golden, name: string): { shape: readonly number[]; data: ArrayLike<number> } {
  const shape = golden.case.options?.["input_shapes"]?.[name];
  return shape ? { shape, data: signal(`${golden.case.name}.${name}`, shape) } : tensorOf(golden, name);
}

/** Channels [from, to) of an input (N, C, H, W), as a tensor [N, H, W, to - from]. */
export function imageChannels(
  gpu: Gpu,
  golden: Golden,
  at: { name: string; from: number; to: number },
): Tensor {
  const { shape, data } = inputOf(golden, at.name);
  const [n = 1, c = 1, h = 1, w = 1] = shape;
  const count = at.to - at.from;
  const part = new Float32Array(n * count * h * w);
  for (let i = 0; i < n; i++) {
    const begin = (i * c + at.from) * h * w;
    part.set(
      Float32Array.from(data as Float32Array).subarray(begin, begin + count * h * w),
      i * count * h * w,
    );
  }
  return gpu.tensor([n, h, w, count], `${at.name} channels`, toChannelsLast(part, [n, count, h, w]));
}

/**
 * Records with `body`, runs once on memory full of NaN, and returns the tensors it returned, and those watched by
 * `taps` (tap label → name in the index), as (N, C, H, W), or as they are where they have another rank.
 */
export async function compute(
  gpu: Gpu,
  body: (rec: Recorder) => Record<string, Tensor>,
  taps: ReadonlyMap<string, string> = new Map(),
): Promise<Computed> {
  const rec = new Recorder(gpu, (label) => taps.has(label));
  const outputs = body(rec);
  using plan = await rec.finish(Object.values(outputs));
  plan.poison(gpu);
  gpu.submit((encoder) => plan.encode(encoder));
  const computed: Computed = new Map();
  for (const [name, tensor] of Object.entries(outputs)) computed.set(name, await readPlanar(gpu, tensor));
  for (const [label, tensor] of rec.taps) computed.set(taps.get(label)!, await readPlanar(gpu, tensor));
  return computed;
}

/** Taps for all intermediates of a case: `intermediate.PATH` is tapped as LABEL.PATH. */
export function intermediates(golden: Golden, label: string): Map<string, string> {
  const names = Object.keys(golden.case.tensors).filter((name) => name.startsWith("intermediate."));
  return new Map(names.map((name) => [`${label}.${name.slice("intermediate.".length)}`, name]));
}

/** A tensor's values, [N, H, W, C] turned into (N, C, H, W). */
export async function readPlanar(gpu: Gpu, tensor: Tensor): Promise<Float32Array> {
  const values = await gpu.read(tensor);
  const [n = 1, h = 1, w = 1, c = 1] = tensor.shape;
  return tensor.shape.length === 4 ? toChannelsFirst(values, [n, c, h, w]) : values;
}

/** Pixels (n·i, n·j) of a flow (N, H, W, 2). */
export function everyNth(data: ArrayLike<number>, shape: readonly number[], n: number): Float32Array {
  const [batch = 1, height = 1, width = 1] = shape;
  const out: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let y = 0; y < height; y += n) {
      for (let x = 0; x < width; x += n) {
        const at = ((b * height + y) * width + x) * 2;
        out.push(data[at]!, data[at + 1]!);
      }
    }
  }
  return Float32Array.from(out);
}
