import type { Gpu } from "../gpu/device.ts";
import type { Slice } from "../gpu/dispatch.ts";
import { Plan, type PlanNode } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { finiteTally } from "../kernels/finite_tally.ts";
import { NonFiniteError } from "./errors.ts";
import type { Step } from "./pacer.ts";

/** Dispatches between two looks at the result. */
const NODES_PER_WAIT = 16;

/** A unit of work that can be done again. */
export interface Unit {
  /** For messages: what could not be done, "compute step 0 of frame 2". */
  readonly what: string;
  readonly steps: readonly Step[];
}

/** A unit of work whose result is bad. */
export interface BadUnit extends Unit {
  /** How many of its values are NaN or infinite. */
  readonly badValues: number;
  /** Tensors that hold no floats, which are not looked at. */
  readonly ignore?: readonly Tensor[];
}

/** The first dispatch whose result holds NaN or infinities. */
export interface Culprit {
  readonly node: PlanNode;
  /** How many of the values that it wrote are bad. */
  readonly badValues: number;
  /** Of what it reads, the first that holds bad values itself; null if it made them of good ones. */
  readonly badInput: Tensor | null;
}

/**
 * Waits for what was submitted and throws a `NonFiniteError` if `state`, which `finiteTally()` fills, tells of a unit
 * whose values are not all finite. `unit(i)` gives the i-th unit that was checked, to look for the cause.
 */
export async function assertFinite(
  gpu: Gpu,
  { state, unit }: { readonly state: Tensor; readonly unit: (index: number) => Unit },
): Promise<void> {
  const [passed, badValues] = await gpu.read(state);
  if (badValues !== 0) throw await nonFiniteError(gpu, { ...unit(passed!), badValues: badValues! });
}

/** Does a bad unit again, dispatch by dispatch, and says in an error where its values went bad. */
export async function nonFiniteError(gpu: Gpu, unit: BadUnit): Promise<NonFiniteError> {
  const culprit = await findNonFinite(gpu, unit);
  if (!culprit) {
    return new NonFiniteError(
      `Cannot ${unit.what}: ${unit.badValues} of its values were NaN or infinite, but none when computed again. Memory or driver of the GPU are at fault: run the same command again; if this repeats, update the driver`,
    );
  }
  const { node, badValues, badInput } = culprit;
  const cause = badInput ? `its input "${badInput.label}" is not finite already` : "its inputs are finite";
  const packed = unit.steps.some((step) => step instanceof Plan && step.nodes.some(readsPacked));
  const remedy = packed
    ? "Pass --precision f32"
    : "The model's weights or the GPU driver are at fault: compare the weight files with their source, update the driver";
  return new NonFiniteError(
    `Cannot ${unit.what}: "${node.label}" (${node.kernel}) is the first to compute NaN or infinities, ${badValues} in all; ${cause}. ${remedy}`,
  );
}

/** Does the steps again and looks at what each dispatch writes; null where all of it is finite. */
export async function findNonFinite(
  gpu: Gpu,
  { steps, ignore = [] }: { readonly steps: readonly Step[]; readonly ignore?: readonly Tensor[] },
): Promise<Culprit | null> {
  const plans = new Set(steps.filter((step) => step instanceof Plan));
  for (const plan of plans) plan.clear(gpu); // else bad values of the first time would be found
  const ignored = new Set(ignore.map(({ storage }) => storage));
  for (const step of steps) {
    if (!(step instanceof Plan)) {
      gpu.submit(step, "look for NaN");
      continue;
    }
    const culprit = await findInPlan(gpu, step, ({ tensor }) => !ignored.has(tensor.storage));
    if (culprit) return culprit;
  }
  return null;
}

async function findInPlan(
  gpu: Gpu,
  plan: Plan,
  hasFloats: (slice: Slice) => boolean,
): Promise<Culprit | null> {
  const state = gpu.tensor([1, 4], "first bad result");
  try {
    for (let from = 0; from < plan.nodes.length; from += NODES_PER_WAIT) {
      const nodes = plan.nodes.slice(from, from + NODES_PER_WAIT);
      const written = nodes.flatMap((node, i) =>
        // What is wrong in a texture shows in the product that reads it.
        node.writes.filter((slice) => !slice.tensor.inTexture && hasFloats(slice)).map((slice) => ({
          node,
          slice,
          label: String(i),
        }))
      );
      const rec = new Recorder(gpu);
      for (const { slice, label } of written) finiteTally(rec, [viewOf(slice)], { state, label });
      using checks = await rec.finish([]);
      gpu.write(state, new Float32Array(4));
      gpu.submit((encoder) => {
        let at = 0;
        for (const i of nodes.keys()) {
          plan.encode(encoder, from + i, from + i + 1);
          const begin = at;
          while (checks.nodes[at]?.label === String(i)) at++;
          checks.encode(encoder, begin, at);
        }
      }, "look for NaN");
      const [passed, badValues] = await gpu.read(state);
      if (badValues === 0) continue;
      const { node } = written[passed!]!;
      return {
        node,
        badValues: badValues!,
        badInput: await findBadInput(gpu, plan, node),
      };
    }
    return null;
  } finally {
    gpu.free(state);
  }
}

/** Looks at what the plan itself does not write: all that it did write before was finite, and may be gone by now. */
async function findBadInput(gpu: Gpu, plan: Plan, node: PlanNode): Promise<Tensor | null> {
  const written = new Set(plan.nodes.flatMap(({ writes }) => writes.map(({ tensor }) => tensor.storage)));
  for (const slice of node.reads.filter(({ tensor }) => !written.has(tensor.storage))) {
    const view = slice.tensor.inTexture ? slice.tensor : viewOf(slice);
    const bytes = await gpu.readRaw(view);
    const values = view.dtype === "f16" ? new Float16Array(bytes) : new Float32Array(bytes);
    if (!values.every(Number.isFinite)) return slice.tensor;
  }
  return null;
}

/** The bound part of a tensor as one of its own. */
function viewOf({ tensor, byteOffset, byteLength }: Slice): Tensor {
  const { dtype, label, storage } = tensor;
  const part = { byteLength, buffer: storage.buffer, byteOffset: storage.byteOffset + byteOffset };
  return new Tensor([byteLength / tensor.vec4Bytes, 4], label, { dtype, storage: part });
}

function readsPacked({ reads }: PlanNode): boolean {
  return reads.some(({ tensor }) => tensor.dtype === "f16");
}
