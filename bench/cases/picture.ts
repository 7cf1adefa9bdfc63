import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { bicubicUpsample } from "../../src/kernels/bicubic_upsample.ts";
import { gruUpdate, residualRelu } from "../../src/kernels/elementwise.ts";
import { packedPixelsShape, packPixels, unpackPixels } from "../../src/kernels/pixels.ts";
import { TOLERANCE } from "../../tests/_assert.ts";
import { bicubicUpsample as bicubicReference } from "../../tests/reference/bicubic_upsample.ts";
import {
  gruUpdate as gruReference,
  residualRelu as residualReference,
} from "../../tests/reference/elementwise.ts";
import {
  packPixels as packReference,
  unpackPixels as unpackReference,
} from "../../tests/reference/pixels.ts";
import { allSamples, type KernelCase } from "./kernel_case.ts";

/** Values that float32 puts on the other side of a half come out one level away. */
const ONE_LEVEL = { rtol: 0, atol: 1 };
const SMALL = { height: 64, width: 64 }, BUNDLED = { height: 90, width: 160 };

/** Kernels that touch each value of a picture or a feature map once. */
export const pictures: readonly KernelCase[] = [
  bicubic(SMALL),
  { ...bicubic(BUNDLED), quick: true },
  residual(),
  gru(),
  unpack(BUNDLED),
  pack({ height: 256, width: 256 }),
  { ...pack({ height: 360, width: 640 }), quick: true },
];

/** Sizes of a picture. */
interface Size {
  readonly height: number;
  readonly width: number;
}

function bicubic({ height, width }: Size): KernelCase {
  const factor = 4, channels = 3;
  return {
    name: `bicubic ×${factor}, ${width}×${height}`,
    note: "before optical flow",
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const x = inputs.signal("x", [1, height, width, channels]);
      const sizes = { factor, outHeight: factor * height, outWidth: factor * width };
      return {
        record: (rec) => bicubicUpsample(rec, x.tensor, { factor, label: "bicubic" }),
        expected: () => allSamples(bicubicReference(x.data, { batch: 1, height, width, channels }, sizes)),
      };
    },
  };
}

function residual(): KernelCase {
  return {
    name: "elementwise max(a + b, 0), 64 ch, 128×128",
    note: "RAFT's encoders",
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const [a, b] = ["a", "b"].map((name) => inputs.signal(name, [1, 128, 128, 64]));
      return {
        record: (rec) => residualRelu(rec, a!.tensor, b!.tensor, { label: "residual" }),
        expected: () => allSamples(residualReference(a!.data, b!.data)),
      };
    },
  };
}

function gru(): KernelCase {
  return {
    name: "elementwise (1 - z)·h + z·q, 128 ch, 32×32",
    note: "RAFT's recurrent block",
    quick: true,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const [h, z, q] = ["h", "z", "q"].map((name) => inputs.signal(name, [1, 32, 32, 128]));
      return {
        record: (rec) => gruUpdate(rec, { h: h!.tensor, z: z!.tensor, q: q!.tensor, label: "gru" }),
        expected: () => allSamples(gruReference(h!.data, z!.data, q!.data)),
      };
    },
  };
}

function unpack({ height, width }: Size): KernelCase {
  const format = { height, width, bitDepth: 8 } as const;
  return {
    name: `pixels to floats, ${width}×${height}`,
    note: "8 bits",
    quick: true,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const shape = packedPixelsShape(format);
      const words = new Uint32Array(shape[1]);
      const samples = new Uint8Array(words.buffer, 0, 3 * height * width);
      for (let i = 0; i < samples.length; i++) samples[i] = i * 151 % 256;
      const packed = inputs.raw("packed", shape, words);
      return {
        record: (rec) => unpackPixels(rec, packed, { ...format, label: "unpack" }),
        expected: () => allSamples(unpackReference(samples, 8)),
      };
    },
  };
}

function pack({ height, width }: Size): KernelCase {
  return {
    name: `floats to pixels, ${width}×${height}`,
    note: "8 bits",
    tolerance: ONE_LEVEL,
    build(inputs) {
      const x = inputs.signal("x", [1, height, width, 3]);
      return {
        record: (rec) => packPixels(rec, x.tensor, { bitDepth: 8, label: "pack" }),
        read: readBytes,
        expected: () => allSamples(packReference(x.data, 8)),
      };
    },
  };
}

async function readBytes(gpu: Gpu, packed: Tensor): Promise<Uint8Array> {
  return new Uint8Array(await gpu.readRaw(packed));
}
