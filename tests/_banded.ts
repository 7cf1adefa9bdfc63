import assert from "node:assert/strict";
import { Gpu } from "../src/gpu/device.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { evaluate } from "./_gpu_test.ts";

/**
 * Fails unless `record` gives the same bytes on `gpu` and on a device that binds only `maxBindingBytes`, where it must
 * take more dispatches. Both devices use subgroups or neither.
 */
export async function assertSameInBands(
  gpu: Gpu,
  { maxBindingBytes, record }: {
    readonly maxBindingBytes: number;
    readonly record: (rec: Recorder) => Tensor[];
  },
): Promise<void> {
  const subgroups = gpu.facts.subgroupSize > 0;
  using limited = await Gpu.open({ allowCpu: true, maxBindingBytes, subgroups });
  const whole = await run(gpu, record), banded = await run(limited, record);
  assert.ok(
    banded.dispatches > whole.dispatches,
    `${banded.dispatches} dispatches in bands, ${whole.dispatches} without`,
  );
  whole.values.forEach((values, i) => {
    assert.ok(values.every(Number.isFinite), "not all values are finite");
    assert.deepEqual(new Uint32Array(banded.values[i]!.buffer), new Uint32Array(values.buffer));
  });
}

async function run(
  gpu: Gpu,
  record: (rec: Recorder) => Tensor[],
): Promise<{ values: Float32Array[]; dispatches: number }> {
  let dispatches = 0;
  const values = await evaluate(gpu, (rec) => {
    const count = rec.run.bind(rec);
    rec.run = (...dispatch) => {
      dispatches++;
      count(...dispatch);
    };
    return record(rec);
  });
  return { values, dispatches };
}
