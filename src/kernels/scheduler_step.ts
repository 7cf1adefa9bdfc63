import source from "../../wgsl/scheduler_step.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { flatChunks, spread } from "./bands.ts";
import { assertShape } from "./shape.ts";

const WORKGROUP = 64;

/** One sampling step. */
export const schedulerStepKernel: Kernel = defineKernel({
  name: "scheduler_step",
  source,
  bindings: {
    z: "read",
    output: "read",
    noise: "read",
    coefficients: "read",
    previous: "write",
    clean: "write",
  },
  params: { count: "u32" },
});

/** Inputs of `schedulerStep()`. */
export interface SchedulerStepOptions {
  /** Noisy latent [N, h, w, C]. */
  readonly z: Tensor;
  /** What the network made of it, same shape. */
  readonly output: Tensor;
  /** Unit Gaussian noise, same shape; finite even where its factor is 0. */
  readonly noise: Tensor;
  /**
   * [1, 8], written before each replay: x0FromSample, x0FromOutput, clip, prevFromX0, prevFromSample, prevFromOutput,
   * prevFromNoise, 0. A `clip` of the largest float, 3.4e38, clips nothing.
   */
  readonly coefficients: Tensor;
  readonly label: string;
}

/** What a sampling step gives, both of the latent's shape. */
export interface SchedulerStep {
  /** The less noisy latent that the next step starts from. */
  readonly previous: Tensor;
  /** The estimate of the clean latent, clipped. */
  readonly clean: Tensor;
}

/**
 * Takes one step of DDPM or DDIM sampling as the linear maps of `StepCoefficients`. NaN comes through as NaN. Throws
 * `RangeError` where shapes do not fit.
 */
export function schedulerStep(rec: Recorder, options: SchedulerStepOptions): SchedulerStep {
  const { z, output, noise, coefficients, label } = options;
  const where = { kernel: "scheduler_step", label };
  assertShape(output, z.shape, where);
  assertShape(noise, z.shape, where);
  assertShape(coefficients, [1, 8], where);
  const previous = rec.tensor(z.shape, `${label}.previous`);
  const clean = rec.tensor(z.shape, `${label}.clean`);
  for (const { from, to } of flatChunks(z.vec4s, rec.gpu.facts.maxBindingBytes)) {
    rec.run(schedulerStepKernel, {
      label,
      bindings: {
        z: slice(z, from, to),
        output: slice(output, from, to),
        noise: slice(noise, from, to),
        coefficients,
        previous: slice(previous, from, to),
        clean: slice(clean, from, to),
      },
      params: { count: to - from },
      workgroups: spread(Math.ceil((to - from) / WORKGROUP)),
    });
  }
  return { previous, clean };
}
