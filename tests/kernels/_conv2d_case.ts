import type { Gpu } from "../../src/gpu/device.ts";
import {
  type Conv2dOptions,
  packConv2dWeight,
  packedConv2dShape,
  type Padding,
} from "../../src/kernels/conv2d.ts";
import { signalTensor } from "../_gpu_test.ts";
import { weight as generatedWeight } from "../generated.ts";

/** Sizes of a convolution. */
export interface Conv2dCase {
  readonly name: string;
  readonly shape: [number, number, number, number];
  readonly out: number;
  readonly kernel: [number, number];
  readonly stride?: number;
  readonly padding?: number | Padding;
  readonly resize?: [number, number];
}

/** Awkward shapes: odd sizes, channels that are no multiple of 4, borders, several images. */
export const CONV2D_CASES: readonly Conv2dCase[] = [
  { name: "3×3", shape: [1, 9, 12, 8], out: 16, kernel: [3, 3], padding: 1 },
  { name: "odd channels", shape: [2, 7, 5, 7], out: 5, kernel: [3, 3], padding: 1 },
  { name: "one pixel, one channel", shape: [1, 1, 1, 1], out: 1, kernel: [3, 3], padding: 1 },
  { name: "one output channel", shape: [1, 6, 4, 12], out: 1, kernel: [3, 3], padding: 1 },
  { name: "1×1", shape: [2, 5, 6, 20], out: 36, kernel: [1, 1] },
  { name: "stride 2, odd height", shape: [1, 13, 18, 12], out: 8, kernel: [3, 3], stride: 2, padding: 1 },
  {
    name: "bottom and right padding only",
    shape: [1, 13, 18, 4],
    out: 8,
    kernel: [3, 3],
    stride: 2,
    padding: { top: 0, left: 0, bottom: 1, right: 1 },
  },
  { name: "7×7 stride 2", shape: [1, 16, 20, 3], out: 10, kernel: [7, 7], stride: 2, padding: 3 },
  {
    name: "1×5",
    shape: [1, 6, 9, 8],
    out: 8,
    kernel: [1, 5],
    padding: { top: 0, left: 2, bottom: 0, right: 2 },
  },
  {
    name: "5×1",
    shape: [1, 9, 6, 8],
    out: 8,
    kernel: [5, 1],
    padding: { top: 2, left: 0, bottom: 2, right: 0 },
  },
  { name: "nearest to an odd size", shape: [2, 4, 5, 6], out: 4, kernel: [3, 3], padding: 1, resize: [7, 9] },
  { name: "nearest doubled", shape: [1, 4, 5, 4], out: 8, kernel: [3, 3], padding: 1, resize: [8, 10] },
  { name: "many pixels, wide", shape: [1, 48, 50, 16], out: 68, kernel: [3, 3], padding: 1 },
  { name: "35 output channels", shape: [1, 6, 7, 5], out: 35, kernel: [3, 3], padding: 1 },
  { name: "2,500 pixels to 3 channels", shape: [1, 50, 50, 8], out: 3, kernel: [3, 3], padding: 1 },
];

/** Input and options of `conv2d()`, and the same for the float64 loop. */
export function prepareConv2d(gpu: Gpu, c: Conv2dCase) {
  const channels = c.shape[3];
  const weightShape: [number, number, number, number] = [c.out, channels, ...c.kernel];
  const w = generatedWeight("conv.weight", weightShape);
  const [x, xData] = signalTensor(gpu, "x", c.shape);
  const [bias, biasData] = signalTensor(gpu, "bias", [1, c.out]);
  const packed = gpu.tensor(packedConv2dShape(weightShape), "weight", packConv2dWeight(w, weightShape));
  const padding = c.padding ?? 0;
  const pad = typeof padding === "number"
    ? { top: padding, left: padding, bottom: padding, right: padding }
    : padding;
  const options: Conv2dOptions = {
    weight: packed,
    kernel: c.kernel,
    bias,
    stride: c.stride ?? 1,
    padding,
    label: c.name,
    ...(c.resize ? { resize: c.resize } : {}),
  };
  const reference = {
    x: xData,
    shape: c.shape,
    weight: w,
    weightShape,
    bias: biasData,
    stride: c.stride ?? 1,
    pad,
    ...(c.resize ? { resize: c.resize } : {}),
  };
  return { x, options, reference };
}
