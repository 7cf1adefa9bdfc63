import type { SchedulerName } from "../checkpoint/scheduler_config.ts";
import { formatByteSize } from "../text/byte_size.ts";
import { escapeName } from "../text/escape_name.ts";
import type { Progress } from "../vsr/progress.ts";

/**
 * What a run tells on stderr. `--progress json` prints one of these per line, as JSON with these keys; times are in
 * milliseconds. Lines that do not start with "{" come from the graphics stack.
 */
export type CliEvent =
  | { event: "adapter"; adapter: string; backend: string; software: boolean }
  | {
    event: "job";
    model: string;
    frames: number;
    width: number;
    height: number;
    output_width: number;
    output_height: number;
    steps: number;
    scheduler: SchedulerName;
    seed: number;
    conditioning_scale: number;
    /** Null for models without noise levels. */
    noise_level: number | null;
    prompt: string;
    negative_prompt: string;
    /** 1 without text guidance. */
    guidance_scale: number;
  }
  | { event: "warning"; message: string }
  /** What is done to keep to a limit of GPU memory, in words; `limit_bytes` is null where only the GPU sets one. */
  | { event: "memory"; peak_bytes: number; limit_bytes: number | null; measures: string[] }
  /** Work of an earlier run that is not done again. */
  | { event: "resumed"; flow_pairs: number; frame_steps: number; frames: number }
  /** The GPU failed for a reason that may pass; the job goes on from its last checkpoint. */
  | { event: "restart"; restart: number; restarts: number; message: string }
  | ProgressEvent
  | { event: "frame"; path: string }
  /** What a model on a hub takes; `kept_bytes` of it were fetched before. */
  | {
    event: "fetch";
    model: string;
    revision: string;
    commit: string;
    files: number;
    bytes: number;
    kept_bytes: number;
  }
  /** A model is there; `bytes` is what came now. */
  | { event: "fetched"; model: string; bytes: number; elapsed_ms: number; path: string }
  /** A model was converted; `bytes` is the size of its weights now. */
  | { event: "converted"; bytes: number; elapsed_ms: number; output: string }
  | { event: "done"; frames: number; elapsed_ms: number; output: string }
  | { event: "error"; exit_code: number; message: string };

/** Stages of upscaling and converting, which count what they work on, and fetching, which counts bytes. */
export type Stage = Progress["stage"] | "convert" | "fetch";

/** `eta_ms` is the time that the rest of the stage will take, null as long as nothing is known. */
export interface ProgressEvent {
  event: "progress";
  stage: Stage;
  done: number;
  total: number;
  elapsed_ms: number;
  eta_ms: number | null;
}

/** How events are shown: a bar, lines, JSON, lines without progress, or errors only. */
export type ReportMode = "bar" | "lines" | "json" | "none" | "quiet";

/** Shortest time between two reports of one stage. */
const INTERVAL_MS = { bar: 100, lines: 5000, json: 500, none: Infinity, quiet: Infinity };
const BAR_LENGTH = 24;
const UNITS = {
  text: "prompts",
  flow: "frame pairs",
  sample: "frame-steps",
  decode: "frames",
  convert: "tensors",
};

/** Where a reporter writes, and its clock. */
export interface ReporterOptions {
  readonly write: (text: string) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** Turns one stream of events into what the user asked for. */
export class Reporter {
  readonly #mode: ReportMode;
  readonly #write: (text: string) => void;
  readonly #now: () => number;
  readonly #start: number;
  #stage: Stage | null = null;
  /** When the stage was first heard of, and how far it was then. */
  #stageStart = { at: 0, done: 0 };
  #last = { at: 0, done: 0 };
  #barOpen = false;

  constructor(mode: ReportMode, { write, now }: ReporterOptions) {
    this.#mode = mode;
    this.#write = write;
    this.#now = now;
    this.#start = now();
  }

  /** Milliseconds since the reporter was made. */
  get elapsedMs(): number {
    return Math.round(this.#now() - this.#start);
  }

  /** Shows an event unless the mode hides it. */
  report(event: CliEvent): void {
    if (this.#mode === "quiet" && event.event !== "error") return;
    if (this.#mode === "json") {
      this.#write(`${JSON.stringify(event)}\n`);
      return;
    }
    const line = describeEvent(event);
    if (line === null) return;
    if (event.event === "progress" && this.#mode === "bar") {
      this.#write(`\r${line}\x1b[K`);
      this.#barOpen = true;
      if (event.done === event.total) this.#closeBar();
      return;
    }
    this.#closeBar();
    this.#write(`${line}\n`);
  }

  /** Shows how far a stage is: its first and last report, and in between not more than one per interval. */
  progress({ stage, done, total }: Omit<Progress, "stage"> & { readonly stage: Stage }): void {
    const interval = INTERVAL_MS[this.#mode];
    const now = this.#now();
    if (stage !== this.#stage) {
      this.#stage = stage;
      this.#stageStart = { at: now, done };
    } else if (done === this.#last.done || (done < total && now - this.#last.at < interval)) {
      return;
    }
    if (interval === Infinity) return;
    this.#last = { at: now, done };
    const finished = done - this.#stageStart.done;
    const eta = finished > 0 ? Math.round((now - this.#stageStart.at) / finished * (total - done)) : null;
    this.report({ event: "progress", stage, done, total, elapsed_ms: this.elapsedMs, eta_ms: eta });
  }

  #closeBar(): void {
    if (this.#barOpen) this.#write("\n");
    this.#barOpen = false;
  }
}

/** The line for people, without its end; null for events that only programs want. */
function describeEvent(event: CliEvent): string | null {
  switch (event.event) {
    case "adapter": {
      const kind = event.software ? "software adapter" : "hardware adapter";
      return `Adapter: ${escapeName(event.adapter)}, ${event.backend}, ${kind}`;
    }
    case "job": {
      const from = `${event.width} x ${event.height}`;
      const to = `${event.output_width} x ${event.output_height}`;
      const steps = count(event.steps, "step");
      return `Model: ${escapeName(event.model)}, ${
        count(event.frames, "frame")
      }, ${from} to ${to}, ${steps}, seed ${event.seed}`;
    }
    case "memory": {
      const { peak_bytes, limit_bytes, measures } = event;
      const allowed = limit_bytes === null ? "" : ` of ${formatByteSize(limit_bytes)} allowed`;
      const peak = `${formatByteSize(peak_bytes)}${allowed}`;
      return `GPU memory: ${[peak, ...measures].join(", ")}`;
    }
    case "warning":
      return `Warning: ${event.message}`;
    case "resumed": {
      const { flow_pairs, frame_steps, frames } = event;
      return `Resumed: ${count(flow_pairs, "frame pair")}, ${count(frame_steps, "frame-step")} and ${
        count(frames, "frame")
      } were done before`;
    }
    case "restart":
      return `Restart ${event.restart} of ${event.restarts}: ${event.message}`;
    case "progress":
      return describeProgress(event);
    case "frame":
      return null;
    case "fetch": {
      const { model, revision, commit, files, bytes, kept_bytes } = event;
      const kept = kept_bytes === 0 ? "" : `, ${formatByteSize(kept_bytes)} of it there already`;
      const size = `${count(files, "file")}, ${formatByteSize(bytes)}${kept}`;
      return `Model: ${escapeName(model)} at ${escapeName(revision)}, commit ${commit}, ${size}`;
    }
    case "fetched": {
      const { bytes, elapsed_ms, path } = event;
      return `Fetched ${formatByteSize(bytes)} in ${(elapsed_ms / 1000).toFixed(1)} s to ${escapeName(path)}`;
    }
    case "converted": {
      const { bytes, elapsed_ms, output } = event;
      return `Wrote ${formatByteSize(bytes)} of weights in ${(elapsed_ms / 1000).toFixed(1)} s to ${
        escapeName(output)
      }`;
    }
    case "done": {
      const seconds = (event.elapsed_ms / 1000).toFixed(1);
      return `Wrote ${count(event.frames, "frame")} in ${seconds} s to ${escapeName(event.output)}`;
    }
    case "error":
      return `Error: ${event.message}`;
  }
}

function describeProgress({ stage, done, total, eta_ms }: ProgressEvent): string {
  const filled = Math.floor(BAR_LENGTH * done / total);
  const bar = "#".repeat(filled) + "-".repeat(BAR_LENGTH - filled);
  const left = eta_ms === null ? "" : `, ${formatDuration(eta_ms)} left`;
  const amount = stage === "fetch"
    ? `${formatByteSize(done)} of ${formatByteSize(total)}`
    : `${done} of ${total} ${UNITS[stage]}`;
  return `${stage.padEnd(6)} [${bar}] ${amount}${done < total ? left : ""}`;
}

/** A number of things: `1 frame`, `2 frames`. */
export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

/** Milliseconds as m:ss or h:mm:ss, rounded up to seconds. */
export function formatDuration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const parts = minutes < 60 ? [minutes] : [Math.floor(minutes / 60), minutes % 60];
  return [...parts, seconds % 60].map((part, i) => i === 0 ? `${part}` : `${part}`.padStart(2, "0")).join(
    ":",
  );
}
