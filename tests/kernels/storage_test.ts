import assert from "node:assert/strict";
import { type DType, Tensor } from "../../src/gpu/tensor.ts";
import { packPanels } from "../../src/kernels/panels.ts";
import { conv2d, packConv2dWeight, packedConv2dShape } from "../../src/kernels/conv2d.ts";
import { scale } from "../../src/kernels/elementwise.ts";
import { gemm } from "../../src/kernels/gemm.ts";
import { winogradConv2d, winogradFilter, winogradFilterShape } from "../../src/kernels/winograd.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { weight as generatedWeight } from "../generated.ts";
import { conv2dReference } from "../reference/conv2d.ts";
import { gemmReference } from "../reference/gemm.ts";

const STORED = {
  "f32 in a texture": { dtype: "f32", inTexture: true },
  "packed f16": { dtype: "f16" },
  "packed f16 in a texture": { dtype: "f16", inTexture: true },
} as const;
const VARIANTS = { subgroups: undefined, "workgroup memory": { subgroups: false } };

/** Weights as they are stored. */
function stored(values: Float32Array, dtype: DType): Float32Array {
  return dtype === "f16" ? Float32Array.from(new Float16Array(values)) : values;
}

for (
  const [variant, kind] of Object.keys(VARIANTS).flatMap((v) => Object.keys(STORED).map((k) => [v, k]))
) {
  const options = VARIANTS[variant as keyof typeof VARIANTS], storage = STORED[kind as keyof typeof STORED];

  gpuTest(
    `convolutions with weights as ${kind} equal the loop over these with ${variant}`,
    async (gpu) => {
      const shape: [number, number, number, number] = [1, 9, 14, 20], weightShape = [18, 20, 3, 3] as const;
      const values = generatedWeight("conv.weight", [...weightShape]);
      const [x, xData] = signalTensor(gpu, "x", shape);
      const weight = new Tensor(packedConv2dShape(weightShape), "weight", storage);
      gpu.write(weight, packConv2dWeight(values, weightShape));
      const filter = new Tensor(winogradFilterShape(20, 18), "filter");
      const [direct, winograd] = await evaluate(gpu, (rec) => {
        rec.once(() => winogradFilter(rec, [weight], { filter, label: "filter" }));
        return [
          conv2d(rec, x, { weight, kernel: [3, 3], padding: 1, label: "direct" }),
          winogradConv2d(rec, x, { filter, label: "winograd" }),
        ];
      });
      const { y } = conv2dReference({
        x: xData,
        shape,
        weight: stored(values, weight.dtype),
        weightShape: [...weightShape],
        pad: { top: 1, left: 1, bottom: 1, right: 1 },
      });
      assertAllClose(direct!, y, TOLERANCE.f32);
      assertAllClose(winograd!, y, TOLERANCE.winograd);
    },
    options,
  );

  gpuTest(
    `gemm() with ${kind} on the right equals the loop over its values with ${variant}`,
    async (gpu) => {
      const [a, aData] = signalTensor(gpu, "a", [3, 33, 20]);
      const b = new Tensor([3, 20, 36], "b", storage);
      const bData = generatedWeight("b", [3, 20, 36]);
      gpu.write(b, packPanels(bData, { rows: 20, columns: 36 }));
      const [c] = await evaluate(gpu, (rec) => gemm(rec, a, b, { label: "product" }));
      assertAllClose(
        c!,
        gemmReference(aData, stored(bData, b.dtype), { batch: 3, rows: 33, inner: 20, columns: 36 }),
        TOLERANCE.f32,
      );
    },
    options,
  );
}

gpuTest("packed f16 is refused where a kernel reads f32, and where a value does not fit", async (gpu) => {
  const x = new Tensor([1, 4], "x", { dtype: "f16" });
  assert.throws(
    () => gpu.write(x, Float32Array.of(1, 2, 7e4, 0)),
    /Cannot store "x" as f16: it holds 70000, beyond 65504/,
  );
  gpu.write(x, Float32Array.of(1, -2, 0.333251953125, 65504));
  assert.deepEqual([...await gpu.read(x)], [1, -2, 0.333251953125, 65504]);
  await assert.rejects(
    evaluate(gpu, (rec) => scale(rec, x, { factor: 2, label: "double" })),
    /Cannot run elementwise "double": "a" is packed f16, f32 wanted/,
  );
});

gpuTest("a texture is refused where a kernel reads a buffer", async (gpu) => {
  const x = new Tensor([1, 4], "x", { inTexture: true });
  gpu.write(x, Float32Array.of(1, 2, 3, 4));
  await assert.rejects(
    evaluate(gpu, (rec) => scale(rec, x, { factor: 2, label: "double" })),
    /Cannot run elementwise "double": "a" is in a texture, a buffer wanted/,
  );
});
