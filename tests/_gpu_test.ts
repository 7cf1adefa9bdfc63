import { Gpu, type GpuOptions } from "../src/gpu/device.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { signal } from "./generated.ts";

/** The devices that tests of one file share, by their options. */
const shared = new Map<string, Gpu>();

/**
 * A test with a device; any GPU error during it fails it. Tests of one file with the same options share the device.
 * Without an adapter the test fails: nothing is skipped.
 */
export function gpuTest(
  name: string,
  body: (gpu: Gpu) => Promise<void>,
  options: GpuOptions = {},
): void {
  Deno.test(name, async () => {
    const key = JSON.stringify(options);
    const gpu = shared.get(key) ?? await Gpu.open({ allowCpu: true, ...options });
    shared.set(key, gpu);
    await gpu.scoped(name, () => body(gpu));
    await gpu.done();
  });
}

Deno.test.afterAll(() => {
  for (const gpu of shared.values()) gpu.close();
  shared.clear();
});

/**
 * Records with `body`, runs the plan once on memory full of NaN, and returns the values of the tensors it returned,
 * row-major without padding. Fails if the padding channels are not zero.
 */
export async function evaluate(
  gpu: Gpu,
  body: (rec: Recorder) => Tensor | Tensor[],
): Promise<Float32Array[]> {
  const rec = new Recorder(gpu);
  const returned = body(rec);
  const outputs = Array.isArray(returned) ? returned : [returned];
  using plan = await rec.finish(outputs);
  plan.poison(gpu);
  gpu.submit((encoder) => plan.encode(encoder));
  const values: Float32Array[] = [];
  for (const output of outputs) {
    assertZeroPadding(new Float32Array(await gpu.readRaw(output)), output);
    values.push(await gpu.read(output));
  }
  return values;
}

/** A persistent tensor with a deterministic signal of unit variance; and its values. */
export function signalTensor(
  gpu: Gpu,
  name: string,
  shape: readonly number[],
  scale = 1,
): [Tensor, Float32Array] {
  const data = signal(name, [...shape]).map((v) => v * scale);
  return [gpu.tensor(shape, name, data), data];
}

/** Values [N, C, H, W] as [N, H, W, C]. */
export function toChannelsLast(data: ArrayLike<number>, shape: readonly number[]): Float32Array {
  const [n = 1, c = 1, h = 1, w = 1] = shape;
  const out = new Float32Array(n * c * h * w);
  for (let i = 0, at = 0; i < n; i++) {
    for (let p = 0; p < h * w; p++) {
      for (let k = 0; k < c; k++) out[at++] = data[(i * c + k) * h * w + p]!;
    }
  }
  return out;
}

/** Values [N, H, W, C] as [N, C, H, W]; `shape` is the result's. */
export function toChannelsFirst(data: ArrayLike<number>, shape: readonly number[]): Float32Array {
  const [n = 1, c = 1, h = 1, w = 1] = shape;
  const out = new Float32Array(n * c * h * w);
  for (let i = 0, at = 0; i < n; i++) {
    for (let k = 0; k < c; k++) {
      for (let p = 0; p < h * w; p++) out[at++] = data[(i * h * w + p) * c + k]!;
    }
  }
  return out;
}

function assertZeroPadding(padded: Float32Array, tensor: Tensor): void {
  const channels = tensor.size(-1), stride = 4 * tensor.channels4;
  if (stride === channels) return;
  const bad = padded.findIndex((v, i) => i % stride >= channels && v !== 0);
  if (bad >= 0) {
    throw new Error(
      `"${tensor.label}" has ${padded[bad]} in padding channel ${bad % stride} of position ${
        Math.floor(bad / stride)
      }`,
    );
  }
}
