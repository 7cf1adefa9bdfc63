/** How far a job is. `done` counts finished units of the stage: frames, or frame-steps when sampling. */
export interface Progress {
  readonly stage: "flow" | "sample" | "decode";
  readonly done: number;
  readonly total: number;
}

/** What every stage is given to report and to stop. */
export interface StageControl {
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Checked between units of work; the abort reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}
