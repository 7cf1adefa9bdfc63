/** How far a job is. */
export interface Progress {
  /** Optical flow, sampling, decoding: in this order. */
  readonly stage: "flow" | "sample" | "decode";
  /** Finished units of the stage: pairs of frames, frame-steps or frames. */
  readonly done: number;
  /** All units of the stage. */
  readonly total: number;
}

/** What every stage is given to report and to stop. */
export interface StageControl {
  /** Called after units of work have been queued or finished. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Checked between units of work; the abort reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}
