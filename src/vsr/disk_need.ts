import { flowShape, type FlowStep } from "./flows.ts";
import type { ClipOutline } from "./memory_plan.ts";

/** Latents are kept twice, and once more while they are written. */
const LATENT_COPIES = 3;

/** A value in both directions. */
const FLOW_BYTES = 2 * 4;

/** Bytes on disk that a job takes at most. */
export interface DiskNeed {
  /** Flows and latents, which are removed at the end. */
  readonly state: number;
  /** Output frames as PNG, if nothing in them could be compressed. */
  readonly frames: number;
}

/**
 * Computes what a job writes. `latentChannels` are those of a latent, which has the size of the low-resolution frames;
 * `flowStep` is the density of the flows that the model guides frames by, null where it does not.
 */
export function diskNeed(
  clip: ClipOutline,
  { latentChannels, flowStep }: { readonly latentChannels: number; readonly flowStep: FlowStep | null },
): DiskNeed {
  const { width, height, bitDepths } = clip;
  const pixels = width * height, count = bitDepths.length;
  const [, flowHeight, flowPairs, channels] = flowShape(clip, flowStep ?? 1);
  const flows = flowStep ? FLOW_BYTES * flowHeight * flowPairs * channels * (count - 1) : 0;
  const latents = 4 * latentChannels * pixels * (count + 1);
  const frames = bitDepths.reduce((sum, bitDepth) => sum + pngBytes(4 * width, 4 * height, bitDepth), 0);
  return { state: flows + LATENT_COPIES * latents, frames };
}

/** Each row has a byte for its filter; deflate adds 5 bytes to each 16 KiB that it cannot compress; 1 KiB of the rest. */
function pngBytes(width: number, height: number, bitDepth: 8 | 16): number {
  const bytes = height * (1 + 3 * width * bitDepth / 8);
  return bytes + 5 * Math.ceil(bytes / 16384) + 1024;
}
