import assert from "node:assert/strict";
import type { WeightDType } from "../../src/checkpoint/weight_dtype.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import type { ByteSource } from "../../src/checkpoint/unchanged_file.ts";
import { PART_VALUES } from "../../src/checkpoint/weight_parts.ts";
import { WeightFiles } from "../../src/checkpoint/weight_source.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import { type Gpu, QUEUED_BYTES } from "../../src/gpu/device.ts";
import type { DType, Tensor } from "../../src/gpu/tensor.ts";
import { matrixPacking } from "../../src/nn/matrix_packing.ts";
import { Weights } from "../../src/nn/weights.ts";
import { gpuTest } from "../_gpu_test.ts";
import { meterQueue } from "../_meter_queue.ts";
import { safetensorsBytes } from "../checkpoint/_safetensors_bytes.ts";
import { CountingSource } from "../fuzz/_counting_source.ts";

type Shape = readonly [number, number, number, number];

interface Case {
  readonly what: string;
  readonly shape: Shape;
  /** Input channels of each GPU tensor. */
  readonly splits: readonly number[];
  /** As stored in the file and on the GPU. */
  readonly kinds: readonly (readonly [WeightDType, DType])[];
}

for (
  const { what, shape, splits, kinds } of [
    {
      what: "a linear layer whose last panel is narrow",
      shape: [1040, 1024, 1, 1],
      splits: [1024],
      kinds: [["F32", "f32"], ["F32", "f16"], ["F16", "f32"], ["F16", "f16"], ["BF16", "f32"], [
        "BF16",
        "f16",
      ]],
    },
    {
      what: "a convolution over two inputs",
      shape: [544, 258, 3, 3],
      splits: [130, 128],
      kinds: [["F16", "f32"], ["F32", "f16"]],
    },
    {
      what: "a matrix without panels",
      shape: [1030, 1030, 1, 1],
      splits: [1030],
      kinds: [["F32", "f32"], ["BF16", "f16"]],
    },
  ] as const satisfies readonly Case[]
) {
  gpuTest(`Weights.load() lays out ${what} value by value, read in parts`, async (gpu) => {
    assert.ok(product(shape) > PART_VALUES);
    for (const [dtype, precision] of kinds) {
      const { bytes, values } = generatedFile(dtype, shape);
      const source = new WeightFiles("x", [await SafetensorsFile.from(new CountingSource(bytes), "x")]);
      const weights = new Weights(gpu, new WeightView(source), "layer", { precision });
      try {
        let from = 0;
        const packings = splits.map((count) => matrixPacking(shape, [from, from += count]));
        const tensors = weights.split("weight", shape, packings);
        await weights.load();
        for (const [i, tensor] of tensors.entries()) {
          const begin = splits.slice(0, i).reduce((sum, count) => sum + count, 0);
          const expected = packed(values, { shape, channels: [begin, begin + splits[i]!] });
          await assertHolds(gpu, tensor, precision === "f16" ? new Float16Array(expected) : expected);
        }
      } finally {
        weights.free();
      }
    }
  });
}

gpuTest("Weights.load() holds a few parts of a tensor on the host, and queues 64 MiB of it", async (gpu) => {
  for (const dtype of ["F32", "F16"] as const) {
    const shape = [QUEUED_BYTES / 4 / 1024 + 4096, 1024];
    const file = new PatternFile(dtype, shape);
    const source = new WeightFiles("x", [await SafetensorsFile.from(file, "x")]);
    const weights = new Weights(gpu, new WeightView(source), "layer");
    using queue = meterQueue();
    try {
      const tensor = weights.parameter("weight", shape, matrixPacking(shape));
      await weights.load();
      assert.equal(queue.writtenBytes, tensor.storage.byteLength);
      assert.ok(
        queue.mostQueuedBytes <= QUEUED_BYTES + 4 * PART_VALUES,
        `${queue.mostQueuedBytes} bytes queued`,
      );
      const host = [...file.buffers, ...queue.buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
      assert.ok(host <= 3 * 4 * PART_VALUES, `${host} bytes of ${dtype}`); // two that were read, one to be written
      assert.ok(host + queue.mostQueuedBytes <= weights.loadBytes && weights.loadBytes < 85e6);
    } finally {
      weights.free();
    }
  }
});

/** A safetensors file with the tensor "weight" of values whose bits are generated, from an odd byte on; and the values. */
function generatedFile(
  dtype: WeightDType,
  shape: Shape,
): { bytes: Uint8Array<ArrayBuffer>; values: Float32Array<ArrayBuffer> } {
  const count = product(shape), single = dtype === "F32";
  // Without the second bit from the top all are finite and below 2.
  const bits = single
    ? Uint32Array.from({ length: count }, (_, i) => Math.imul(i, 0x9e37_79b9) & 0xbfff_ffff)
    : Uint16Array.from({ length: count }, (_, i) => Math.imul(i, 0x9e37_79b9) >>> 16 & 0xbfff);
  const values = single
    ? new Float32Array(bits.buffer)
    : dtype === "F16"
    ? Float32Array.from(new Float16Array(bits.buffer))
    : new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);
  return { bytes: safetensorsBytes(header(dtype, shape), bits), values };
}

/** JSON of a length that is odd. */
function header(dtype: WeightDType, shape: readonly number[]): string {
  const end = (dtype === "F32" ? 4 : 2) * product(shape);
  const json = JSON.stringify({ weight: { dtype, shape, data_offsets: [0, end] } });
  return json.length % 2 ? json : `${json} `;
}

/** Input channels of a weight [O, C, KH, KW] as [KH·KW, C, O] in panels, C and O padded to a multiple of 4. */
function packed(
  values: Float32Array,
  { shape, channels }: { readonly shape: Shape; readonly channels: readonly [number, number] },
): Float32Array {
  const [out, inChannels, height, width] = shape, taps = height * width;
  const rows = 4 * Math.ceil((channels[1] - channels[0]) / 4);
  const panel = out % 4 ? out : 32, columns = 4 * Math.ceil(out / 4);
  const result = new Float32Array(taps * rows * columns);
  for (let o = 0; o < out; o++) {
    const first = o - o % panel, stride = Math.min(panel, out - first) + columns - out;
    for (let c = channels[0]; c < channels[1]; c++) {
      for (let tap = 0; tap < taps; tap++) {
        const row = tap * rows + c - channels[0];
        result[first * taps * rows + row * stride + o - first] = values[(o * inChannels + c) * taps + tap]!;
      }
    }
  }
  return result;
}

async function assertHolds(
  gpu: Gpu,
  tensor: Tensor,
  expected: Float32Array | Float16Array,
): Promise<void> {
  const actual = new Uint8Array(await gpu.readRaw(tensor));
  const wanted = new Uint8Array(expected.buffer);
  assert.equal(actual.length, wanted.length);
  const wrong = actual.findIndex((byte, i) => byte !== wanted[i]);
  assert.equal(wrong, -1, `byte ${wrong} of ${tensor.dtype} [${tensor.shape}] is another`);
}

/** A safetensors file with the tensor "weight", all of one value, that is nowhere. */
class PatternFile implements ByteSource {
  readonly byteLength: number;
  /** All that it was read to. */
  readonly buffers = new Set<ArrayBuffer>();
  readonly #header: Uint8Array<ArrayBuffer>;

  constructor(dtype: WeightDType, shape: readonly number[]) {
    this.#header = safetensorsBytes(header(dtype, shape));
    this.byteLength = this.#header.length + (dtype === "F32" ? 4 : 2) * product(shape);
  }

  async read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    return await Promise.resolve(this.#header.slice(begin, end));
  }

  async readInto(bytes: Uint8Array<ArrayBuffer>, begin: number): Promise<void> {
    assert.ok(begin >= this.#header.length && begin + bytes.length <= this.byteLength);
    this.buffers.add(bytes.buffer);
    bytes.fill(0x3c);
    await Promise.resolve();
  }

  [Symbol.dispose](): void {}
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
