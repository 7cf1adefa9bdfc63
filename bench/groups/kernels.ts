import { assertAllClose } from "../../tests/_assert.ts";
import { convolutions } from "../cases/convolution.ts";
import { flows } from "../cases/flow.ts";
import { Inputs, type KernelCase, type KernelWork, type Samples } from "../cases/kernel_case.ts";
import { normalisations } from "../cases/normalisation.ts";
import { pictures } from "../cases/picture.ts";
import { products } from "../cases/product.ts";
import { CountingRecorder } from "../../src/kernels/counting_recorder.ts";
import { type Context, rateOf, type Row } from "../group.ts";
import { timePlan } from "../time_plan.ts";

export const name = "kernels";
export const description =
  "Kernels at the shapes of real layers, each checked against double precision first";

/** Times all cases; throws at the first whose result is wrong. */
export async function run(context: Context): Promise<Row[]> {
  const all = [...convolutions, ...products, ...normalisations, ...flows, ...pictures];
  const rows: Row[] = [];
  for (const kernelCase of all.filter(({ quick }) => quick || !context.quick)) {
    context.progress(kernelCase.name);
    rows.push(await runCase(context, kernelCase));
  }
  return rows;
}

/** Checks a case, then times it. */
async function runCase({ gpu, quick, ceilings }: Context, kernelCase: KernelCase): Promise<Row> {
  using inputs = new Inputs(gpu);
  const work = kernelCase.build(inputs);
  const rec = new CountingRecorder(gpu);
  const y = work.record(rec);
  using plan = await rec.finish([y]);
  plan.poison(gpu);
  gpu.submit((encoder) => plan.encode(encoder));
  const values = work.read ? await work.read(gpu, y) : await gpu.read(y);
  checkSamples(kernelCase, values, work.expected());

  const timing = await timePlan(gpu, plan, { quick });
  const { note } = kernelCase;
  const equivalent = rec.hasWinograd ? "rate of the direct convolution that it stands for" : "";
  const notes = [note ?? "", equivalent].filter((text) => text !== "");
  return {
    name: kernelCase.name,
    variant: [...new Set(plan.nodes.map(({ kernel }) => kernel))].join(" + "),
    timing,
    rate: rateOf(workOf(rec, work), timing, ceilings),
    ...notes.length > 0 ? { note: notes.join("; ") } : {},
  };
}

function workOf({ flops, bytes }: CountingRecorder, work: KernelWork): { flops: number; bytes: number } {
  return { flops, bytes: work.bytes ?? bytes };
}

/** Throws unless the sampled values are right; expected values that are all zero check nothing. */
function checkSamples(
  { name, tolerance }: KernelCase,
  values: ArrayLike<number>,
  { indices, values: expected }: Samples,
): void {
  if (expected.every((value) => value === 0)) throw new Error(`Cannot check "${name}": all samples are 0`);
  assertAllClose(indices.map((i) => values[i]!), expected, { ...tolerance, label: name });
}
