import { deepStrictEqual, throws } from "node:assert/strict";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { upsampleFlow } from "../../src/kernels/upsample_flow.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { fromFlowPairs } from "../_flow_pairs.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { upsampleFlowReference } from "../reference/flow.ts";

interface Case {
  readonly shape: readonly [number, number, number];
  readonly step?: 1 | 2 | 4 | 8;
  readonly height?: number;
  readonly width?: number;
}

/** Records a case; returns the result, its columns and what it must be. */
function record(
  rec: Recorder,
  testCase: Case,
  convex: boolean,
): { y: Tensor; columns: number; expected: Float64Array } {
  const [n, h, w] = testCase.shape;
  const { step = 1, height = 8 * h, width = 8 * w } = testCase;
  const [flow, data] = signalTensor(rec.gpu, "upsample.flow", [n, h, w, 2], 3);
  const [mask, maskData] = signalTensor(rec.gpu, "upsample.mask", [n, h, w, 576], 4);
  const options = { step, height, width };
  const expected = upsampleFlowReference({ shape: [n, h, w, 2], data }, {
    ...options,
    ...(convex ? { mask: { shape: [n, h, w, 576], data: maskData } } : {}),
  });
  const y = upsampleFlow(rec, flow, { ...options, mask: convex ? mask : undefined, label: "upsample" });
  return { y, columns: Math.ceil(width / step), expected };
}

for (const convex of [true, false]) {
  const kind = convex ? "with a mask" : "without a mask";
  for (
    const [criterion, testCase] of Object.entries<Case>({
      "makes every pixel": { shape: [1, 3, 5] },
      "keeps images of a batch apart": { shape: [3, 2, 3] },
      "takes one pixel": { shape: [1, 1, 1] },
      "takes one row": { shape: [1, 1, 4] },
      "crops": { shape: [1, 3, 4], height: 19, width: 27 },
      "keeps every 2nd pixel of a cropped size": { shape: [2, 3, 4], step: 2, height: 19, width: 27 },
      "keeps every 4th pixel": { shape: [1, 4, 3], step: 4 },
      "keeps every 8th pixel of a cropped size": { shape: [1, 4, 3], step: 8, height: 25, width: 17 },
    })
  ) {
    gpuTest(`upsampleFlow() ${criterion} ${kind}`, async (gpu) => {
      let expected: Float64Array = new Float64Array(), columns = 0;
      const [actual] = await evaluate(gpu, (rec) => {
        const recorded = record(rec, testCase, convex);
        ({ expected, columns } = recorded);
        return recorded.y;
      });
      // Values reach 40: 8 · flow of a signal with scale 3.
      assertAllClose(fromFlowPairs(actual!, columns), expected, { ...TOLERANCE.f32, atol: 4e-5 });
    });
  }

  gpuTest(`upsampleFlow() gives the same bytes in bands ${kind}`, async (gpu) => {
    await assertSameInBands(gpu, {
      maxBindingBytes: convex ? 16384 : 768,
      record: (rec) => [record(rec, { shape: [2, 5, 3], step: 4, height: 37, width: 24 }, convex).y],
    });
  });
}

gpuTest("upsampleFlow() spreads over more than 65,535 workgroups", async (gpu) => {
  // Without a mask a constant flow stays constant.
  const [h, w] = [513, 256];
  const data = Float32Array.from({ length: 2 * h * w }, (_, i) => i % 2 ? -2 : 1);
  const flow = gpu.tensor([1, h, w, 2], "flow", data);
  const [y] = await evaluate(
    gpu,
    (rec) => upsampleFlow(rec, flow, { height: 8 * h, width: 8 * w, label: "upsample" }),
  );
  deepStrictEqual(y!.length, 2 * 64 * h * w);
  deepStrictEqual(y!.findIndex((v, i) => v !== (i % 2 ? -16 : 8)), -1);
});

gpuTest("upsampleFlow() takes any size of mask value", async (gpu) => {
  const flow = gpu.tensor([1, 1, 1, 2], "flow", Float32Array.from([1, 2]));
  const data = new Float32Array(576).fill(-1e30).fill(1e30, 4 * 64, 5 * 64);
  const mask = gpu.tensor([1, 1, 1, 576], "mask", data);
  const [y] = await evaluate(
    gpu,
    (rec) => upsampleFlow(rec, flow, { mask, step: 4, height: 8, width: 8, label: "upsample" }),
  );
  deepStrictEqual([...y!], [8, 16, 8, 16, 8, 16, 8, 16]);
});

gpuTest("upsampleFlow() refuses shapes that do not fit", (gpu) => {
  const rec = new Recorder(gpu);
  const flow = gpu.tensor([1, 2, 3, 2], "flow"), mask = gpu.tensor([1, 2, 2, 576], "mask");
  const options = { height: 16, width: 24, label: "flow.upsample" };
  throws(
    () => upsampleFlow(rec, flow, { ...options, mask }),
    new RangeError('Cannot run upsample_flow "flow.upsample": "mask" is [1,2,2,576], wanted [1,2,3,576]'),
  );
  throws(
    () => upsampleFlow(rec, mask, options),
    new RangeError('Cannot run upsample_flow "flow.upsample": "mask" is [1,2,2,576], wanted [1,2,2,2]'),
  );
  throws(
    () => upsampleFlow(rec, flow, { ...options, height: 17, step: 2 }),
    new RangeError(
      'Cannot run upsample_flow "flow.upsample": 17×24 with step 2, wanted at most 16×24 with step 1, 2, 4 or 8',
    ),
  );
  return Promise.resolve();
});
