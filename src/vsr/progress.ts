import type { JobStore } from "./job_store.ts";

/** How far a job is. */
export interface Progress {
  /** Encoding of prompts, optical flow, sampling, decoding: in this order. */
  readonly stage: "text" | "flow" | "sample" | "decode";
  /** Finished units of the stage: prompts, pairs of frames, frame-steps or frames. */
  readonly done: number;
  /** All units of the stage. */
  readonly total: number;
}

/** What every stage is given to report, to stop and to go on from. */
export interface StageControl {
  /** Called after units of work have been queued or finished. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Checked between units of work; the unit at hand is finished, then the abort reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Keeps what is finished, for a later run. Without it nothing is kept. */
  readonly job?: JobStore | undefined;
}
