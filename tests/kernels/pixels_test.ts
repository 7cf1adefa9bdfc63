import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { packedPixelsShape, packPixels, type PixelFormat, unpackPixels } from "../../src/kernels/pixels.ts";
import { assertAllClose } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { packPixels as packLoops, unpackPixels as unpackLoops } from "../reference/pixels.ts";

const FORMATS: PixelFormat[] = [
  { height: 16, width: 16, bitDepth: 8 },
  { height: 16, width: 16, bitDepth: 16 },
  { height: 5, width: 7, bitDepth: 8 },
  { height: 7, width: 5, bitDepth: 16 },
  { height: 1, width: 1, bitDepth: 8 },
  { height: 1, width: 1, bitDepth: 16 },
];

/** Samples that take all levels, in scrambled order. */
function someSamples({ height, width, bitDepth }: PixelFormat): Uint8Array | Uint16Array {
  const samples = new (bitDepth === 8 ? Uint8Array : Uint16Array)(height * width * 3);
  return samples.map((_, i) => i * 40503 % 2 ** bitDepth);
}

function packedTensor(gpu: Gpu, format: PixelFormat): Tensor {
  const samples = someSamples(format);
  const tensor = gpu.tensor(packedPixelsShape(format), "packed");
  const words = new Uint32Array(tensor.size(-1));
  new Uint8Array(words.buffer).set(new Uint8Array(samples.buffer));
  gpu.writeRaw(tensor, words);
  return tensor;
}

/** The samples in a packed tensor's values, up to its very end. */
function samplesOf(values: Float32Array, bitDepth: 8 | 16): number[] {
  const buffer = values.buffer as ArrayBuffer;
  return [...(bitDepth === 8 ? new Uint8Array(buffer) : new Uint16Array(buffer))];
}

for (const format of FORMATS) {
  const { height, width, bitDepth } = format;
  const name = `${height}×${width}, ${bitDepth} bits`;

  gpuTest(`unpackPixels() maps samples to -1 … 1: ${name}`, async (gpu) => {
    const packed = packedTensor(gpu, format);
    const [y] = await evaluate(gpu, (rec) => unpackPixels(rec, packed, { ...format, label: "unpack" }));
    assertAllClose(y!, unpackLoops(someSamples(format), bitDepth), { atol: 3e-7 });
  });

  gpuTest(`packPixels() gives back what unpackPixels() read, zeros after it: ${name}`, async (gpu) => {
    const packed = packedTensor(gpu, format);
    const [back] = await evaluate(
      gpu,
      (rec) =>
        packPixels(rec, unpackPixels(rec, packed, { ...format, label: "x" }), { bitDepth, label: "y" }),
    );
    const samples = samplesOf(back!, bitDepth), count = 3 * height * width;
    assert.deepEqual(samples.slice(0, count), [...someSamples(format)]);
    assert.ok(samples.slice(count).every((v) => v === 0));
  });
}

gpuTest("packPixels() equals the loops on values beyond the range", async (gpu) => {
  const [x, xData] = signalTensor(gpu, "x", [1, 5, 9, 3]);
  const [packed] = await evaluate(gpu, (rec) => packPixels(rec, x, { bitDepth: 8, label: "pack" }));
  const expected = packLoops(xData, 8);
  assert.ok(expected.includes(0) && expected.includes(255));
  assert.deepEqual(samplesOf(packed!, 8).slice(0, expected.length), expected);
});

gpuTest("packPixels() rounds halves to the even level", async (gpu) => {
  // x / 2 + 1/2 = 1/2 is exact, and 255 / 2 = 127.5 and 65535 / 2 = 32767.5 are both ties that go up to even.
  const x = gpu.tensor([1, 1, 1, 3], "x", Float32Array.of(0, -1, 1));
  const [bytes, words] = await evaluate(gpu, (rec) => [
    packPixels(rec, x, { bitDepth: 8, label: "bytes" }),
    packPixels(rec, x, { bitDepth: 16, label: "words" }),
  ]);
  assert.deepEqual(samplesOf(bytes!, 8).slice(0, 3), [128, 0, 255]);
  assert.deepEqual(samplesOf(words!, 16).slice(0, 3), [32768, 0, 65535]);
});

for (const bitDepth of [8, 16] as const) {
  gpuTest(`pixels come out the same in bands, ${bitDepth} bits`, async (gpu) => {
    const format = { height: 9, width: 11, bitDepth };
    await assertSameInBands(gpu, {
      maxBindingBytes: 768,
      record(rec) {
        const x = unpackPixels(rec, packedTensor(rec.gpu, format), { ...format, label: "x" });
        return [
          x,
          unpackPixels(rec, packPixels(rec, x, { bitDepth, label: "y" }), { ...format, label: "z" }),
        ];
      },
    });
  });
}

gpuTest("unpackPixels() and packPixels() name shapes that do not fit", async (gpu) => {
  const packed = gpu.tensor([1, 8], "packed"), x = gpu.tensor([1, 2, 2, 4], "x");
  await assert.rejects(
    evaluate(
      gpu,
      (rec) => unpackPixels(rec, packed, { height: 2, width: 2, bitDepth: 8, label: "unpack" }),
    ),
    new RangeError('Cannot run unpack_pixels "unpack": "packed" is [1,8], wanted [1,4]'),
  );
  await assert.rejects(
    evaluate(gpu, (rec) => packPixels(rec, x, { bitDepth: 8, label: "pack" })),
    new RangeError('Cannot run pack_pixels "pack": "x" is [1,2,2,4], wanted [1,2,2,3]'),
  );
});
