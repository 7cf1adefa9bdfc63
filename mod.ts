/**
 * Diffusion video super-resolution ×4 (DGAF-VSR) on Deno's WebGPU.
 *
 * `Upscaler` opens a model folder and upscales clips; frames are plain RGB pixels.
 *
 * @module
 */
export { UPSCALE_FACTOR, type UpscaleOptions, Upscaler, type UpscalerOptions } from "./src/vsr/upscaler.ts";
export { NonFiniteError } from "./src/vsr/decode_stage.ts";
export type { Progress } from "./src/vsr/progress.ts";
export type { Frame } from "./src/media/frame.ts";
export { Gpu, type GpuOptions } from "./src/gpu/device.ts";
export { GpuError, NoAdapterError } from "./src/gpu/errors.ts";
export { CheckpointError, ConfigError, MissingModelError } from "./src/checkpoint/errors.ts";
