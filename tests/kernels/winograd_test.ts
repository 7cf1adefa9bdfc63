import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import type { Activation } from "../../src/kernels/activation.ts";
import { packConv2dWeight, packedConv2dShape } from "../../src/kernels/conv2d.ts";
import type { KnownNorm } from "../../src/kernels/group_norm.ts";
import {
  winogradConv2d,
  winogradFilter,
  winogradFilterShape,
  type WinogradOptions,
} from "../../src/kernels/winograd.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { weight as generatedWeight } from "../generated.ts";
import { activations } from "../reference/activation.ts";
import { concatChannels } from "../reference/concat_channels.ts";
import { conv2dReference } from "../reference/conv2d.ts";

interface Case {
  readonly name: string;
  /** N, H and W of the inputs. */
  readonly size: readonly [number, number, number];
  /** Channels of the input, or of each of two. */
  readonly channels: readonly [number, number?];
  readonly out: number;
  readonly resize?: readonly [number, number];
}

const CASES: readonly Case[] = [
  { name: "one tile", size: [1, 4, 4], channels: [16], out: 16 },
  { name: "one pixel", size: [1, 1, 1], channels: [16], out: 16 },
  { name: "less than a tile, one wide", size: [1, 3, 5], channels: [20], out: 18 },
  { name: "two images, odd height", size: [2, 9, 6], channels: [16], out: 3 },
  { name: "many tiles", size: [2, 17, 30], channels: [20], out: 18 },
  { name: "many channels", size: [1, 9, 6], channels: [64], out: 68 },
  { name: "odd channels", size: [1, 5, 7], channels: [3], out: 18 },
  { name: "two inputs", size: [2, 9, 6], channels: [16, 20], out: 18 },
  { name: "two inputs, odd channels", size: [1, 5, 7], channels: [4, 18], out: 16 },
  { name: "nearest doubled", size: [2, 5, 7], channels: [16], out: 16, resize: [10, 14] },
  { name: "nearest to an odd size", size: [1, 5, 8], channels: [16], out: 3, resize: [13, 9] },
  { name: "nearest smaller", size: [1, 13, 9], channels: [16], out: 16, resize: [5, 8] },
  { name: "two inputs doubled", size: [1, 5, 3], channels: [20, 16], out: 16, resize: [10, 6] },
];
const TWO_INPUTS = CASES.find((c) => c.name === "two inputs")!;

type Inputs = Tensor | readonly [Tensor, Tensor];
type Fused = Omit<WinogradOptions, "filter" | "label">;

function prepare(gpu: Gpu, c: Case) {
  const [firstChannels, secondChannels] = c.channels, total = firstChannels + (secondChannels ?? 0);
  const weightShape = [c.out, total, 3, 3] as const;
  const weight = generatedWeight("conv.weight", weightShape);
  const weights = packed(gpu, weight, { shape: weightShape, channels: c.channels });
  const filter = emptyFilter(gpu, weights, c.out);
  const [first, firstData] = signalTensor(gpu, "first", [...c.size, firstChannels]);
  const resize = c.resize ? { resize: c.resize } : {};
  let x: Inputs = first, data: ArrayLike<number> = firstData;
  if (secondChannels) {
    const [second, secondData] = signalTensor(gpu, "second", [...c.size, secondChannels]);
    x = [first, second];
    data = concatChannels([firstData, secondData], [firstChannels, secondChannels]);
  }
  const reference = {
    x: data,
    shape: [...c.size, total] as [number, number, number, number],
    weight,
    weightShape,
    pad: { top: 1, left: 1, bottom: 1, right: 1 },
    ...resize,
  };

  function run(rec: Recorder, fused: Fused = {}): Tensor {
    rec.once(() => winogradFilter(rec, weights, { filter, label: c.name }));
    return winogradConv2d(rec, x, { filter, label: c.name, ...resize, ...fused });
  }
  return { run, reference };
}

/** The weight [O, C, 3, 3] packed for each input. */
function packed(
  gpu: Gpu,
  weight: Float32Array,
  { shape, channels }: {
    readonly shape: readonly number[];
    readonly channels: readonly (number | undefined)[];
  },
): Tensor[] {
  let from = 0;
  return channels.filter((count) => count !== undefined).map((count) => {
    const range: [number, number] = [from, from += count];
    return gpu.tensor(packedConv2dShape(shape, count), "weight", packConv2dWeight(weight, shape, range));
  });
}

function emptyFilter(gpu: Gpu, weights: readonly Tensor[], out: number): Tensor {
  const filter = new Tensor(
    winogradFilterShape(weights.reduce((sum, w) => sum + w.size(1), 0), out),
    "filter",
  );
  gpu.allocate(filter);
  return filter;
}

/** Statistics for `images` images, with or without bias. */
function makeNorm(
  gpu: Gpu,
  { images, channels, bias = true }: {
    readonly images: number;
    readonly channels: number;
    readonly bias?: boolean;
  },
) {
  const [stats, statsData] = signalTensor(gpu, "stats", [images, 2, channels]);
  const [biasTensor, biasData] = signalTensor(gpu, "norm.bias", [1, channels]);
  const norm: KnownNorm = { stats, ...bias ? { bias: biasTensor } : {} };
  /** The norm of values [N, H, W, C], of `pixels` = H · W. */
  function reference(x: ArrayLike<number>, pixels: number, activation: Activation): Float64Array {
    return Float64Array.from({ length: x.length }, (_, i) => {
      const c = i % channels, n = images > 1 ? Math.floor(i / channels / pixels) : 0;
      const mean = statsData[2 * n * channels + c]!, scale = statsData[(2 * n + 1) * channels + c]!;
      return activations[activation]((x[i]! - mean) * scale + (bias ? biasData[c]! : 0));
    });
  }
  return { norm, reference };
}

for (
  const [variant, gpuOptions] of [["subgroups", undefined], ["workgroup memory", {
    subgroups: false,
  }]] as const
) {
  gpuTest(`winogradConv2d() equals the float64 loop for every shape with ${variant}`, async (gpu) => {
    assert.equal(gpu.facts.subgroupSize > 0, variant === "subgroups");
    for (const c of CASES) {
      const { run, reference } = prepare(gpu, c);
      const [y] = await evaluate(gpu, run);
      assertAllClose(y!, conv2dReference(reference).y, { ...TOLERANCE.winograd, label: c.name });
    }
  }, gpuOptions);

  gpuTest(`winogradConv2d() gives the same bytes in bands with ${variant}`, async (gpu) => {
    // Bands of one and of several rows of tiles; those of one also take the filter in parts.
    const limits = { "many tiles": [24_000, 70_000], "two inputs": [24_000], "two inputs doubled": [24_000] };
    for (const [name, bytes] of Object.entries(limits)) {
      const c = CASES.find((each) => each.name === name)!;
      for (const maxBindingBytes of bytes) {
        await assertSameInBands(gpu, {
          maxBindingBytes,
          record: (rec) => {
            const { run, reference } = prepare(rec.gpu, c);
            const [images, , , channels] = reference.shape;
            const { norm } = makeNorm(rec.gpu, { images, channels });
            const [residual] = signalTensor(rec.gpu, "residual", conv2dReference(reference).shape);
            const [channelAdd] = signalTensor(rec.gpu, "add", [images, c.out]);
            return [run(rec, { norm, residual, channelAdd })];
          },
        });
      }
    }
  }, gpuOptions);
}

gpuTest("winogradConv2d() gives the same bytes with less scratch", async (gpu) => {
  const { run } = prepare(gpu, CASES.find((each) => each.name === "many tiles")!);
  const results: Float32Array[] = [];
  const scratch: number[] = [];
  for (const scratchBytes of [2 ** 26, 70_000, 1]) {
    const rec = new Recorder(gpu);
    scratch.push(rec.dryRun([run(rec, { scratchBytes })]).byteLength);
    const [y] = await evaluate(gpu, (rec) => run(rec, { scratchBytes }));
    results.push(y!);
  }
  assert.ok(scratch[0]! > scratch[1]! && scratch[1]! > scratch[2]!, `${scratch} bytes`);
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
});

gpuTest("winogradConv2d() of a kernel with a single 1 returns the shifted input", async (gpu) => {
  const [height, width, channels] = [6, 9, 16], shape = [1, height, width, channels];
  const [x, data] = signalTensor(gpu, "x", shape);
  const weightShape = [channels, channels, 3, 3];
  for (let tap = 0; tap < 9; tap++) {
    const weight = new Float32Array(9 * channels ** 2);
    for (let c = 0; c < channels; c++) weight[(c * channels + c) * 9 + tap] = 1;
    const weights = packed(gpu, weight, { shape: weightShape, channels: [channels] });
    const filter = emptyFilter(gpu, weights, channels);
    const [y] = await evaluate(gpu, (rec) => {
      rec.once(() => winogradFilter(rec, weights, { filter, label: "delta" }));
      return winogradConv2d(rec, x, { filter, label: "delta" });
    });
    const [dy, dx] = [Math.floor(tap / 3) - 1, tap % 3 - 1];
    const shifted = Array.from(data, (_, i) => {
      const c = i % channels, column = Math.floor(i / channels) % width + dx;
      const row = Math.floor(i / channels / width) + dy;
      const inside = row >= 0 && row < height && column >= 0 && column < width;
      return inside ? data[(row * width + column) * channels + c]! : 0;
    });
    assertAllClose(y!, shifted, { ...TOLERANCE.winograd, label: `shift by (${dy}, ${dx})` });
  }
});

gpuTest("winogradConv2d() normalises and activates its input before it pads with zeros", async (gpu) => {
  for (const c of [TWO_INPUTS, { ...TWO_INPUTS, resize: [13, 12] as const }]) {
    const { run, reference } = prepare(gpu, c);
    const [images, height, width, channels] = reference.shape;
    const made = makeNorm(gpu, { images, channels });
    // Of zero, one gives zero and the other does not.
    for (const activation of ["silu", "sigmoid"] as const) {
      const [y] = await evaluate(gpu, (rec) => run(rec, { norm: { ...made.norm, activation } }));
      const x = made.reference(reference.x, height * width, activation);
      const label = `${activation}, ${c.resize}`;
      assertAllClose(y!, conv2dReference({ ...reference, x }).y, { ...TOLERANCE.winograd, label });
    }
  }
});

gpuTest("winogradConv2d() takes one norm for all images, and a norm without bias", async (gpu) => {
  // More channels than the few zero bytes that stand for a missing input.
  const { run, reference } = prepare(gpu, { ...TWO_INPUTS, channels: [64, 20] });
  const [images, height, width, channels] = reference.shape;
  for (const options of [{ images: 1, bias: true }, { images, bias: false }, { images: 1, bias: false }]) {
    const made = makeNorm(gpu, { ...options, channels });
    const [y] = await evaluate(gpu, (rec) => run(rec, { norm: made.norm }));
    const x = made.reference(reference.x, height * width, "none");
    assertAllClose(y!, conv2dReference({ ...reference, x }).y, {
      ...TOLERANCE.winograd,
      label: JSON.stringify(options),
    });
  }
});

gpuTest("winogradConv2d() fuses bias, per-channel values, activation, scale and residual", async (gpu) => {
  const { run, reference } = prepare(gpu, { name: "fused", size: [2, 5, 6], channels: [16], out: 18 });
  const [bias, biasData] = signalTensor(gpu, "bias", [1, 18]);
  const [residual, residualData] = signalTensor(gpu, "residual", [2, 5, 6, 18]);
  const [each, eachData] = signalTensor(gpu, "add", [2, 18]);
  const [same, sameData] = signalTensor(gpu, "add", [1, 18]);
  for (const activation of ["none", "relu", "sigmoid"] as const) {
    const f = activations[activation];
    const common = { bias, activation, scale: 0.5 };
    const [after, before] = await evaluate(gpu, (rec) => [
      run(rec, { ...common, channelAdd: each, residual }),
      run(rec, { ...common, channelAdd: same, accumulate: residual }),
    ]);
    const expected = conv2dReference({
      ...reference,
      bias: biasData,
      finish: (sum, { n, o, index }) => f(sum + eachData[n * 18 + o]!) * 0.5 + residualData[index]!,
    });
    const accumulated = conv2dReference({
      ...reference,
      bias: biasData,
      finish: (sum, { o, index }) => f(sum + sameData[o]! + residualData[index]!) * 0.5,
    });
    assertAllClose(after!, expected.y, { ...TOLERANCE.winograd, label: activation });
    assertAllClose(before!, accumulated.y, { ...TOLERANCE.winograd, label: `${activation}, accumulated` });
  }
});

gpuTest("winogradFilter() makes of a weight in parts the same filter as of the whole", async (gpu) => {
  const shape = [18, 36, 3, 3], weight = generatedWeight("conv.weight", shape);
  const filters = await evaluate(gpu, (rec) =>
    [[36], [16, 20], [16, 4, 16]].map((channels) => {
      const weights = packed(gpu, weight, { shape, channels });
      const filter = emptyFilter(gpu, weights, 18);
      winogradFilter(rec, weights, { filter, label: "conv" });
      return filter;
    }));
  assert.ok(filters[0]!.every(Number.isFinite) && filters[0]!.some((v) => v !== 0));
  assert.deepEqual(filters[1], filters[0]);
  assert.deepEqual(filters[2], filters[0]);
});

gpuTest("winogradFilter() gives the same bytes where the filter exceeds what can be bound", async (gpu) => {
  // 36 matrices of 1,600 bytes, and of 3,200 of which each weight fills a half: few begin at an offset to bind.
  for (const channels of [[20], [20, 20]]) {
    await assertSameInBands(gpu, {
      maxBindingBytes: 16_384,
      record: (rec) => {
        const shape = [18, 20 * channels.length, 3, 3];
        const weights = packed(rec.gpu, generatedWeight("conv.weight", shape), { shape, channels });
        const filter = emptyFilter(rec.gpu, weights, 18);
        winogradFilter(rec, weights, { filter, label: "conv" });
        return [filter];
      },
    });
  }
});

gpuTest("winogradFilter() refuses weights that do not fill the filter", (gpu) => {
  const rec = new Recorder(gpu);
  const filter = new Tensor(winogradFilterShape(36, 18), "conv.filter");
  const fill = (...shapes: number[][]) => () =>
    winogradFilter(rec, shapes.map((shape) => new Tensor(shape, "weight")), { filter, label: "conv" });
  assert.throws(
    fill([9, 16, 18]),
    refusal('Cannot run winograd_filter "conv": "conv.filter" is [36,36,18], wanted [36,16,18]'),
  );
  assert.throws(
    fill([9, 16, 18], [9, 20, 16]),
    refusal('Cannot run winograd_filter "conv": "weight" is [9,20,16], wanted [9,20,18]'),
  );
  assert.throws(
    fill([1, 36, 18]),
    refusal('Cannot run winograd_filter "conv": "weight" is [1,36,18], wanted [9,36,18]'),
  );
  return Promise.resolve();
});

gpuTest("winogradConv2d() refuses shapes that do not fit, naming layer and sizes", (gpu) => {
  const rec = new Recorder(gpu);
  const filter = new Tensor(winogradFilterShape(36, 18), "conv.filter");
  const x = (...shape: number[]) => new Tensor(shape, "x");
  const y = (...shape: number[]) => new Tensor(shape, "fused");
  const [first, second] = [x(2, 5, 7, 16), x(2, 5, 7, 20)];
  const run = (input: Inputs, fused: Fused = {}) => () =>
    winogradConv2d(rec, input, { filter, label: "conv", ...fused });
  const cases: [() => Tensor, string][] = [
    [run(x(5, 7, 36)), '"x" is [5,7,36], wanted [N, H, W, C]'],
    [run(first), '"conv.filter" is [36,36,18], wanted [36,16,18]'],
    [run([first, x(2, 5, 8, 20)]), '"x" is [2,5,8,20], wanted [2,5,7,20]'],
    [
      run([x(2, 5, 7, 18), x(2, 5, 7, 18)]),
      '"x" has 18 channels, a multiple of 4 wanted before a second input',
    ],
    [run([first, second], { bias: y(1, 16) }), '"fused" is [1,16], wanted [1,18]'],
    [run([first, second], { channelAdd: y(3, 18) }), '"fused" is [3,18], wanted [2,18]'],
    [run([first, second], { residual: y(2, 5, 7, 16) }), '"fused" is [2,5,7,16], wanted [2,5,7,18]'],
    [run([first, second], { norm: { stats: y(3, 2, 36) } }), '"fused" is [3,2,36], wanted [2,2,36]'],
    [
      run([first, second], { norm: { stats: y(1, 2, 36), bias: y(1, 16) } }),
      '"fused" is [1,16], wanted [1,36]',
    ],
  ];
  for (const [body, message] of cases) assert.throws(body, refusal(`Cannot run winograd "conv": ${message}`));
  const sum = y(2, 5, 7, 18);
  assert.throws(
    run([first, second], { residual: sum, accumulate: sum }),
    new TypeError('Cannot run winograd "conv": "residual" and "accumulate" exclude each other'),
  );
  return Promise.resolve();
});

gpuTest("winogradConv2d() refuses a row of tiles that cannot be bound", (gpu) => {
  const rec = new Recorder(gpu);
  const filter = new Tensor(winogradFilterShape(36, 18), "conv.filter");
  assert.throws(
    () => winogradConv2d(rec, new Tensor([1, 9, 30, 36], "x"), { filter, label: "conv" }),
    { name: "LimitError", message: 'Cannot run "conv": a single row exceeds the 24000 bytes this GPU binds' },
  );
  return Promise.resolve();
}, { maxBindingBytes: 24_000 });

function refusal(message: string): RangeError {
  return new RangeError(message);
}
