import { deepStrictEqual, throws } from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { correlation, correlationVolume, correlationVolumeBytes } from "../../src/kernels/correlation.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { correlationReference, type Map4 } from "../reference/flow.ts";

interface Case {
  readonly shape: readonly [number, number, number, number];
  readonly levels: number;
  readonly radius: number;
  /** Size of the flow's signal, in pixels. */
  readonly motion: number;
}

const MAX_VOLUME_BYTES = 2 ** 20;

interface Inputs {
  readonly f1: Tensor;
  readonly pyramid: readonly Tensor[];
  readonly flow: Tensor;
  readonly expected: Float64Array;
}

/** Tensors of a case and what the look-up must return. Levels are signals of their own. */
function inputs(gpu: Gpu, { shape, levels, radius, motion }: Case, flowData?: Float32Array): Inputs {
  const [n, h, w, c] = shape;
  const [f1, f1Data] = signalTensor(gpu, "correlation.f1", shape);
  const flowShape = [n, h, w, 2] as const;
  const [flow, signal] = signalTensor(gpu, "correlation.flow", flowShape, motion);
  if (flowData) gpu.write(flow, flowData);
  const pyramid: Tensor[] = [], maps: Map4[] = [];
  for (let level = 0; level < levels; level++) {
    const levelShape = [n, h >> level, w >> level, c] as const;
    const [tensor, data] = signalTensor(gpu, `correlation.level${level}`, levelShape);
    pyramid.push(tensor);
    maps.push({ shape: levelShape, data });
  }
  const expected = correlationReference({ shape, data: f1Data }, {
    pyramid: maps,
    flow: { shape: flowShape, data: flowData ?? signal },
    radius,
  });
  return { f1, pyramid, flow, expected };
}

/** Looks up with all dot products at hand where they are not too many, and without. */
async function compare(gpu: Gpu, testCase: Case, flowData?: Float32Array): Promise<Float32Array> {
  const { f1, pyramid, flow, expected } = inputs(gpu, testCase, flowData);
  const options = { pyramid, flow, radius: testCase.radius, label: "correlation" };
  const [actual] = await evaluate(gpu, (rec) => correlation(rec, f1, options));
  assertAllClose(actual!, expected, TOLERANCE.f32);
  if (correlationVolumeBytes(f1, pyramid[0]!) <= MAX_VOLUME_BYTES) {
    const [fromVolumes] = await evaluate(
      gpu,
      (rec) => correlation(rec, f1, { ...options, volumes: volumesOf(rec, f1, pyramid) }),
    );
    assertAllClose(fromVolumes!, expected, TOLERANCE.f32);
    if (gpu.facts.software) deepStrictEqual(fromVolumes, actual);
  }
  return actual!;
}

function volumesOf(rec: Recorder, f1: Tensor, pyramid: readonly Tensor[]): Tensor[] {
  return pyramid.map((f2) => correlationVolume(rec, f1, { f2, label: "volume" }));
}

for (
  const [criterion, testCase] of Object.entries<Case>({
    "looks up four levels, radius 4": { shape: [1, 16, 17, 32], levels: 4, radius: 4, motion: 3 },
    "takes one level, radius 1": { shape: [1, 5, 4, 8], levels: 1, radius: 1, motion: 1 },
    "takes channels that are no multiple of 4": { shape: [1, 9, 6, 7], levels: 2, radius: 2, motion: 2 },
    "takes more channels than are summed at a time": {
      shape: [1, 5, 7, 140],
      levels: 2,
      radius: 2,
      motion: 2,
    },
    "keeps images of a batch apart": { shape: [3, 4, 5, 12], levels: 3, radius: 3, motion: 1 },
    "takes radius 8": { shape: [1, 6, 5, 4], levels: 2, radius: 8, motion: 2 },
    "takes one pixel": { shape: [1, 1, 1, 3], levels: 1, radius: 2, motion: 0.5 },
    "sees zeros outside": { shape: [1, 7, 8, 8], levels: 2, radius: 2, motion: 12 },
    "spreads over more than 65,535 workgroups": { shape: [1, 257, 256, 1], levels: 1, radius: 1, motion: 2 },
  })
) {
  gpuTest(`correlation() ${criterion}`, async (gpu) => {
    await compare(gpu, testCase);
  });
}

gpuTest("correlation() orders offsets by x, then y, and reads whole pixels exactly", async (gpu) => {
  const f1 = gpu.tensor([1, 3, 3, 1], "f1", new Float32Array(9).fill(1));
  const f2 = gpu.tensor([1, 3, 3, 1], "f2", Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]));
  const flow = gpu.tensor([1, 3, 3, 2], "flow", new Float32Array(18));
  const [y] = await evaluate(
    gpu,
    (rec) => correlation(rec, f1, { pyramid: [f2], flow, radius: 1, label: "correlation" }),
  );
  const centre = 4 * 9;
  deepStrictEqual([...y!.subarray(centre, centre + 9)], [1, 4, 7, 2, 5, 8, 3, 6, 9]);
  deepStrictEqual([...y!.subarray(0, 9)], [0, 0, 0, 0, 1, 4, 0, 2, 5]);
});

gpuTest("correlation() returns zeros where the flow points far away", async (gpu) => {
  const flow = Float32Array.from([1e9, 0, -1e9, 3e38, 1e30, 0, 0, -1e30]);
  const y = await compare(gpu, { shape: [1, 2, 2, 4], levels: 1, radius: 1, motion: 1 }, flow);
  deepStrictEqual(y.findIndex((v) => v !== 0), -1);
});

gpuTest("correlation() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 8192,
    record: (rec) => {
      const testCase: Case = { shape: [2, 6, 7, 20], levels: 2, radius: 2, motion: 2 };
      const { f1, pyramid, flow } = inputs(rec.gpu, testCase);
      const options = { pyramid, flow, radius: 2, label: "correlation" };
      const volumes = [volumesOf(rec, f1, pyramid)[0]!, null];
      return [correlation(rec, f1, options), correlation(rec, f1, { ...options, volumes })];
    },
  });
});

gpuTest("correlation() refuses shapes that do not fit", (gpu) => {
  const { f1, pyramid, flow } = inputs(gpu, { shape: [1, 8, 8, 4], levels: 2, radius: 2, motion: 1 });
  const rec = new Recorder(gpu);
  const options = { pyramid, flow, radius: 2, label: "flow.correlation" };
  throws(
    () => correlation(rec, f1, { ...options, pyramid: pyramid.toReversed() }),
    new RangeError(
      'Cannot run correlation "flow.correlation": "correlation.level1" is [1,4,4,4], wanted [1,8,8,4]',
    ),
  );
  throws(
    () => correlation(rec, f1, { ...options, flow: f1 }),
    new RangeError(
      'Cannot run correlation "flow.correlation": "correlation.f1" is [1,8,8,4], wanted [1,8,8,2]',
    ),
  );
  throws(
    () => correlation(rec, f1, { ...options, radius: 9 }),
    new RangeError(
      'Cannot run correlation "flow.correlation": radius 9 and 2 levels, wanted radius 1 to 8 and at least one level',
    ),
  );
  return Promise.resolve();
});

gpuTest("correlation() looks up the same with the lanes of a GPU", async (gpu) => {
  const { f1, pyramid, flow, expected } = inputs(gpu, {
    shape: [1, 9, 10, 36],
    levels: 2,
    radius: 3,
    motion: 2,
  });
  const [actual] = await evaluate(gpu, (rec) => {
    const record = rec.run.bind(rec);
    rec.run = (kernel, dispatch) =>
      record(kernel, { ...dispatch, constants: { ...dispatch.constants, LANES_C: 8, LANES_P: 8 } });
    return correlation(rec, f1, { pyramid, flow, radius: 3, label: "correlation" });
  });
  assertAllClose(actual!, expected, TOLERANCE.f32);
});
