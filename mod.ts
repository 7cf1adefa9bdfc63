/**
 * Diffusion video super-resolution ×4 (DGAF-VSR) on Deno's WebGPU.
 *
 * `Upscaler` opens a model folder and upscales clips; frames are plain RGB pixels.
 *
 * @example
 * ```ts
 * import { type Frame, Upscaler } from "./mod.ts";
 *
 * const grey: Frame = { width: 8, height: 6, bitDepth: 8, data: new Uint8Array(8 * 6 * 3).fill(128) };
 * using upscaler = await Upscaler.open({ model: "weights/nano", allowCpu: true });
 * for await (const frame of upscaler.upscale([grey, grey], { seed: 7 })) {
 *   if (frame.width !== 32 || frame.height !== 24) throw new Error("not four times as large");
 * }
 * ```
 *
 * @module
 */
export { UPSCALE_FACTOR, Upscaler, type UpscalerOptions } from "./src/vsr/upscaler.ts";
export type { ClipSettings, UpscaleOptions } from "./src/vsr/clip_settings.ts";
export type { SchedulerName } from "./src/checkpoint/scheduler_config.ts";
export type { TuningOptions } from "./src/vsr/tuning_cache.ts";
export type { StageTime } from "./src/vsr/estimate_time.ts";
export type { FittedPlan, Precision } from "./src/vsr/memory_limit.ts";
export type {
  ClipOutline,
  MemoryPlan,
  MemorySettings,
  StageMemory,
  TextOutline,
} from "./src/vsr/memory_plan.ts";
export { BlankFrameError, NonFiniteError } from "./src/vsr/errors.ts";
export type { Progress, StageControl } from "./src/vsr/progress.ts";
export type { Frame } from "./src/media/frame.ts";
export type { AdapterFacts, GpuOptions } from "./src/gpu/device.ts";
export { GpuError, LimitError, NoAdapterError } from "./src/gpu/errors.ts";
export { CheckpointError, ConfigError, ListedError, MissingModelError } from "./src/checkpoint/errors.ts";
export { JobError, JobFolder } from "./src/vsr/job_folder.ts";
export type { JobStore, SavedFile, SavedTensors } from "./src/vsr/job_store.ts";
export type { Manifest } from "./src/vsr/manifest.ts";
export type { DiskNeed } from "./src/vsr/disk_need.ts";
