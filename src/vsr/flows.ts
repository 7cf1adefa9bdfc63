import type { Tensor } from "../gpu/tensor.ts";

/** In how many directions sampling with so many steps goes over the clip: every second step goes backward. */
export function directionsOf(steps: number): 1 | 2 {
  return steps > 1 ? 2 : 1;
}

/**
 * Optical flow between neighbouring frames at the density of the low-resolution frames: entry (i, j) is the flow of
 * pixel (4i, 4j) of the ×4 frames, in their pixels. Each tensor is [1, h, w, 2], x first.
 */
export interface Flows {
  /** [i]: where frame i + 1 looks in frame i. */
  readonly forward: readonly Tensor[];
  /** [i]: where frame i looks in frame i + 1. Empty where no step goes from the last frame to the first. */
  readonly backward: readonly Tensor[];
}
