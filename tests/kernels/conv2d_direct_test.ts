import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import {
  conv2d,
  conv2dDirectKernel,
  conv2dDirectSubgroupKernel,
  conv2dKernel,
  type Conv2dOptions,
  packConv2dWeight,
} from "../../src/kernels/conv2d.ts";
import { directTiles } from "../../src/kernels/tuning.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { activations } from "../reference/activation.ts";
import { conv2dReference } from "../reference/conv2d.ts";
import { CONV2D_CASES, type Conv2dCase, prepareConv2d } from "./_conv2d_case.ts";

const WAVES = 2;

/** Pixels of a run and vec4s of output channels of each tile in use. */
const RUNS = directTiles.filter(({ KW }) => KW === undefined)
  .map(({ PX, TC4 }) => ({ PX: Number(PX), TC4: Number(TC4) }));

/** Makes `rec` compute every convolution by runs, whatever its shape, in workgroups that are spread over two axes. */
function computeByRuns(rec: Recorder, kernel: Kernel, run: (typeof RUNS)[number]): void {
  const subgroups = kernel === conv2dDirectSubgroupKernel, { subgroupSize } = rec.gpu.facts;
  rec.runOneOf = (_, { key: _key, work: _work, ...dispatch }) => {
    const p = (name: string) => dispatch.params[name]!;
    const runs = p("batch") * p("rows") * Math.ceil(p("out_width") / run.PX);
    const groups = Math.ceil(runs / (subgroups ? WAVES * subgroupSize : 64));
    rec.run(kernel, {
      ...dispatch,
      constants: {
        ...subgroups ? { SUBGROUP: subgroupSize, WAVES } : {},
        ...run,
        KW: p("kernel_width"),
        STRIDE: p("stride"),
        CHANNELS: Math.min(channelsOf(dispatch.bindings["x"]), 4),
        ...dispatch.constants,
      },
      workgroups: [Math.ceil(groups / 2), Math.ceil(p("out_channels") / (4 * run.TC4)), 2],
    });
  };
}

function channelsOf(bound: unknown): number {
  const { tensor } = bound as { tensor: Tensor };
  return tensor.size(-1);
}

async function byRuns(
  gpu: Gpu,
  { kernel, run, x, options }: {
    readonly kernel: Kernel;
    readonly run: (typeof RUNS)[number];
    readonly x: Tensor;
    readonly options: Conv2dOptions;
  },
): Promise<Float32Array> {
  const [y] = await evaluate(gpu, (rec) => {
    computeByRuns(rec, kernel, run);
    return conv2d(rec, x, options);
  });
  return y!;
}

for (const kernel of [conv2dDirectKernel, conv2dDirectSubgroupKernel]) {
  gpuTest(`${kernel.name} equals the float64 loop for every shape`, async (gpu) => {
    for (const [i, c] of CONV2D_CASES.entries()) {
      const { x, options, reference } = prepareConv2d(gpu, c);
      const run = RUNS[c.kernel[1] === 7 ? 2 : i % RUNS.length]!; // wide kernels take long to compile
      const y = await byRuns(gpu, { kernel, run, x, options });
      assertAllClose(y, conv2dReference(reference).y, { ...TOLERANCE.f32, label: c.name });
    }
  });

  gpuTest(`${kernel.name} gives the same bytes with every run`, async (gpu) => {
    const c: Conv2dCase = { name: "runs", shape: [2, 5, 11, 6], out: 18, kernel: [3, 3], padding: 1 };
    const { x, options, reference } = prepareConv2d(gpu, c);
    const expected = conv2dReference(reference).y;
    const results: Float32Array[] = [];
    for (const run of RUNS) results.push(await byRuns(gpu, { kernel, run, x, options }));
    assert.equal(results.length, 3);
    for (const y of results) {
      assertAllClose(y, expected, TOLERANCE.f32);
      assert.deepEqual(y, results[0]);
    }
  });

  gpuTest(`${kernel.name} fuses activation, per-channel values, scale and residual`, async (gpu) => {
    const c: Conv2dCase = { name: "fused", shape: [2, 5, 6, 8], out: 10, kernel: [3, 3], padding: 1 };
    const { x, options, reference } = prepareConv2d(gpu, c);
    const [add, addData] = signalTensor(gpu, "add", [2, 10]);
    const [residual, residualData] = signalTensor(gpu, "residual", [2, 5, 6, 10]);
    const run = RUNS[1]!;
    const { silu } = activations;
    const fused = { ...options, activation: "silu", channelAdd: add, scale: 0.5 } as const;
    const after = await byRuns(gpu, { kernel, run, x, options: { ...fused, residual } });
    const before = await byRuns(gpu, { kernel, run, x, options: { ...fused, accumulate: residual } });
    const expected = conv2dReference({
      ...reference,
      finish: (sum, { n, o, index }) => silu(sum + addData[n * 10 + o]!) * 0.5 + residualData[index]!,
    });
    const accumulated = conv2dReference({
      ...reference,
      finish: (sum, { n, o, index }) => silu(sum + addData[n * 10 + o]! + residualData[index]!) * 0.5,
    });
    assertAllClose(after, expected.y, { ...TOLERANCE.f32, label: "residual" });
    assertAllClose(before, accumulated.y, { ...TOLERANCE.f32, label: "accumulated" });
  });

  gpuTest(`${kernel.name} gives the same bytes in bands`, async (gpu) => {
    using small = await Gpu.open({ allowCpu: true, maxBindingBytes: 4096 });
    for (const c of CONV2D_CASES) {
      // The weight itself and a few rows must fit.
      if (c.kernel[0] * c.kernel[1] * c.shape[3] * c.out > 800 || c.shape[2] >= 50) continue;
      const results: Float32Array[] = [];
      for (const each of [gpu, small]) {
        const { x, options, reference } = prepareConv2d(each, c);
        const [residual] = signalTensor(each, "residual", conv2dReference(reference).shape);
        results.push(await byRuns(each, { kernel, run: RUNS[1]!, x, options: { ...options, residual } }));
      }
      assert.deepEqual(results[1], results[0], c.name);
    }
  });

  gpuTest(`${kernel.name} gives the bytes of conv2d where one vec4 holds all input channels`, async (gpu) => {
    for (const channels of [1, 3, 4]) {
      const shape: Conv2dCase["shape"] = [1, 9, 13, channels];
      const c: Conv2dCase = { name: `${channels}`, shape, out: 9, kernel: [5, 3], stride: 2, padding: 1 };
      const { x, options } = prepareConv2d(gpu, c);
      const y = await byRuns(gpu, { kernel, run: RUNS[1]!, x, options });
      const [tiled] = await evaluate(gpu, (rec) => {
        rec.runOneOf = (_, { key: _key, work: _work, ...dispatch }) => {
          const pixels = dispatch.params["rows"]! * dispatch.params["out_width"]!;
          rec.run(conv2dKernel, { ...dispatch, workgroups: [Math.ceil(pixels / 64), 1, 1] });
        };
        return conv2d(rec, x, options);
      });
      assert.deepEqual(new Uint32Array(y.buffer), new Uint32Array(tiled!.buffer), c.name);
    }
  });

  gpuTest(`${kernel.name} takes packed f16 weights`, async (gpu) => {
    const c: Conv2dCase = { name: "f16", shape: [1, 6, 7, 8], out: 12, kernel: [3, 3], padding: 1 };
    const { x, options, reference } = prepareConv2d(gpu, c);
    const weight = new Tensor(options.weight.shape, "weight", { dtype: "f16" });
    gpu.write(weight, packConv2dWeight(Float32Array.from(reference.weight), reference.weightShape));
    const y = await byRuns(gpu, { kernel, run: RUNS[1]!, x, options: { ...options, weight } });
    const rounded = { ...reference, weight: new Float16Array(reference.weight) };
    assertAllClose(y, conv2dReference(rounded).y, TOLERANCE.f32);
  });
}

gpuTest("conv2d() computes by runs where directCandidates() says so", async (gpu) => {
  for (
    const [c, kernel] of [
      [{ shape: [1, 33, 47, 3], out: 16, kernel: [7, 7], stride: 2, padding: 3 }, "conv2d_direct_subgroup"],
      [{ shape: [2, 16, 18, 16], out: 3, kernel: [3, 3], padding: 1 }, "conv2d_direct_subgroup"],
      [{ shape: [1, 16, 18, 36], out: 16, kernel: [3, 3], padding: 1 }, "conv2d_subgroup"],
    ] as const
  ) {
    const { x, options, reference } = prepareConv2d(gpu, { name: kernel, ...c } as unknown as Conv2dCase);
    const names: string[] = [];
    const [y] = await evaluate(gpu, (rec) => {
      const run = rec.run.bind(rec);
      rec.run = (used, dispatch) => {
        names.push(used.name);
        run(used, dispatch);
      };
      return conv2d(rec, x, options);
    });
    assert.deepEqual(names, [kernel]);
    assertAllClose(y!, conv2dReference(reference).y, { ...TOLERANCE.f32, label: `${c.shape}` });
  }
});
