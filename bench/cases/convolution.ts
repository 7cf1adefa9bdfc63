import { conv2d, packConv2dWeight, packedConv2dShape } from "../../src/kernels/conv2d.ts";
import { winogradConv2d, winogradFilter, winogradFilterShape } from "../../src/kernels/winograd.ts";
import { TOLERANCE } from "../../tests/_assert.ts";
import { conv2dReference } from "../../tests/reference/conv2d.ts";
import {
  firstMiddleLast,
  type Inputs,
  type KernelCase,
  type KernelWork,
  type Samples,
} from "./kernel_case.ts";

/** Output channels that are checked at either end. */
const CHECKED_CHANNELS = 4;

/** A convolution of one picture, padded so that stride 1 keeps its size. */
interface Shape {
  readonly height: number;
  readonly width: number;
  readonly in: number;
  readonly out: number;
  /** Height and width, default 3 × 3. */
  readonly kernel?: readonly [number, number];
  readonly stride?: number;
  readonly note: string;
  readonly quick?: boolean;
}

function square(size: number, channels: number, note: string): Shape {
  return { height: size, width: size, in: channels, out: channels, note };
}

/** 3×3 with stride 1, each by Winograd and direct. */
const BOTH: readonly Shape[] = [
  square(64, 128, "the layer other runtimes are compared by"),
  square(32, 256, "UNet"),
  square(64, 256, "UNet, finest level"),
  square(32, 512, "UNet"),
  square(64, 512, "VAE, coarsest level"),
  square(16, 1024, "UNet"),
  { height: 90, width: 160, in: 32, out: 32, note: "bundled UNet, finest level" },
  { height: 360, width: 640, in: 16, out: 16, note: "bundled VAE, finest level" },
  { height: 23, width: 40, in: 64, out: 64, note: "bundled UNet, coarsest level", quick: true },
];

/** What Winograd is not for. */
const DIRECT: readonly Shape[] = [
  { ...square(64, 256, "UNet, downsampling"), stride: 2 },
  { ...square(256, 64, "RAFT's stem"), in: 3, kernel: [7, 7], stride: 2 },
  { ...square(128, 96, "RAFT's encoders"), in: 64, stride: 2 },
  { ...square(32, 128, "RAFT's recurrent block"), in: 384, kernel: [1, 5] },
  { ...square(32, 256, "RAFT's motion encoder"), in: 324, kernel: [1, 1] },
  { ...square(64, 256, "UNet, shortcut"), in: 512, kernel: [1, 1] },
  { ...square(64, 4, "UNet, last layer"), in: 256 },
  { height: 90, width: 160, in: 32, out: 32, stride: 2, note: "bundled UNet, downsampling", quick: true },
  { height: 90, width: 160, in: 4, out: 32, note: "bundled UNet, first layer", quick: true },
  { height: 360, width: 640, in: 16, out: 3, note: "bundled VAE, last layer" },
  { height: 360, width: 640, in: 3, out: 16, kernel: [7, 7], stride: 2, note: "bundled RAFT's stem" },
  { height: 180, width: 320, in: 16, out: 16, note: "bundled RAFT's encoders" },
];

/** Convolutions. */
export const convolutions: readonly KernelCase[] = [
  ...BOTH.flatMap((shape) => [convolution(shape, "winograd"), convolution(shape, "direct")]),
  ...DIRECT.map((shape) => convolution(shape, "direct")),
];

function convolution(shape: Shape, algorithm: "winograd" | "direct"): KernelCase {
  const { height, width, in: inChannels, out, kernel = [3, 3], stride = 1, note, quick = false } = shape;
  const channels = inChannels === out ? `${out}` : `${inChannels}→${out}`;
  const strided = stride > 1 ? ` stride ${stride}` : "";
  return {
    name: `conv ${kernel.join("×")}${strided}, ${channels} ch, ${width}×${height}, ${algorithm}`,
    note,
    quick,
    tolerance: TOLERANCE[algorithm === "winograd" ? "winograd" : "f32"],
    build: (inputs) => build(inputs, shape, algorithm),
  };
}

function build(inputs: Inputs, shape: Shape, algorithm: "winograd" | "direct"): KernelWork {
  const { height, width, in: inChannels, out, kernel = [3, 3], stride = 1 } = shape;
  const [kernelHeight, kernelWidth] = kernel;
  const padY = (kernelHeight - 1) / 2, padX = (kernelWidth - 1) / 2;
  const x = inputs.signal("x", [1, height, width, inChannels]);
  const bias = inputs.signal("bias", [1, out], 0.1);
  const weightShape = [out, inChannels, kernelHeight, kernelWidth] as const;
  const fanIn = inChannels * kernelHeight * kernelWidth;
  const weights = inputs.signal("weight", weightShape, 1 / Math.sqrt(fanIn)).data;
  const packed = inputs.weight(
    "packed weight",
    packedConv2dShape(weightShape),
    packConv2dWeight(weights, weightShape),
  );

  /** Rows at both borders and in between, some channels. */
  function expected(): Samples {
    const indices: number[] = [], values: number[] = [];
    const outHeight = Math.floor((height - 1) / stride) + 1;
    const checked = Math.min(CHECKED_CHANNELS, out), row = width * inChannels;
    for (const i of firstMiddleLast(outHeight)) {
      const top = i * stride - padY, bottom = top + kernelHeight;
      const from = Math.max(top, 0), to = Math.min(bottom, height);
      for (const channel of new Set([0, out - checked])) {
        const { y, shape: [, , outWidth] } = conv2dReference({
          x: x.data.subarray(from * row, to * row),
          shape: [1, to - from, width, inChannels],
          weight: weights.subarray(channel * fanIn, (channel + checked) * fanIn),
          weightShape: [checked, inChannels, kernelHeight, kernelWidth],
          bias: bias.data.subarray(channel, channel + checked),
          stride,
          pad: { top: from - top, bottom: bottom - to, left: padX, right: padX },
        });
        y.forEach((value, at) => {
          const column = Math.floor(at / checked);
          indices.push((i * outWidth + column) * out + channel + at % checked);
          values.push(value);
        });
      }
    }
    return { indices, values };
  }

  if (algorithm === "direct") {
    return {
      expected,
      record: (rec) =>
        conv2d(rec, x.tensor, {
          weight: packed,
          bias: bias.tensor,
          kernel,
          stride,
          padding: { top: padY, bottom: padY, left: padX, right: padX },
          label: "conv",
        }),
    };
  }
  const filter = inputs.weight("filter", winogradFilterShape(packed.size(1), out));
  return {
    expected,
    record: (rec) => {
      rec.once(() => winogradFilter(rec, [packed], { filter, label: "conv" }));
      return winogradConv2d(rec, x.tensor, { filter, bias: bias.tensor, label: "conv" });
    },
  };
}
