import type { Tensor } from "../gpu/tensor.ts";
import { flowPairs } from "../kernels/flow_pairs.ts";

/** In how many directions sampling with so many steps goes over the clip: every second step goes backward. */
export function directionsOf(steps: number): 1 | 2 {
  return steps > 1 ? 2 : 1;
}

/** Pixels of the ×4 frames per pixel of the low-resolution ones, in each direction. */
const FACTOR = 4;

/** Density of flow: it is made and kept of every step-th pixel of every step-th row of the ×4 frames. */
export type FlowStep = 1 | 4;

/**
 * Optical flow between neighbouring frames: of the pixels (step · i, step · j) of the ×4 frames, in their pixels. Each
 * tensor is of `flowShape()`.
 */
export interface Flows {
  /** [i]: where frame i + 1 looks in frame i. */
  readonly forward: readonly Tensor[];
  /** [i]: where frame i looks in frame i + 1. Empty where no step goes from the last frame to the first. */
  readonly backward: readonly Tensor[];
}

/** Shape of a flow between frames of `height` × `width` pixels before they are enlarged. */
export function flowShape(
  { height, width }: { readonly height: number; readonly width: number },
  step: FlowStep,
): [number, number, number, number] {
  const density = FACTOR / step;
  return flowPairs(1, density * height, density * width);
}
