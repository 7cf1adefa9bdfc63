/** No adapter fits: none found, the wrong one, or a software adapter that was not allowed. */
export class NoAdapterError extends Error {
  /** The class, for messages. */
  override name = "NoAdapterError";
}

/** What was asked for exceeds what this GPU can bind or allocate. */
export class LimitError extends RangeError {
  /** The class, for messages. */
  override name = "LimitError";
}

/** The GPU reported an error (validation, out of memory, internal) or went away. */
export class GpuError extends Error {
  /** The class, for messages. */
  override name = "GpuError";
  /** What kind of error it was; `lost` means that the device is gone. */
  readonly kind: "validation" | "out-of-memory" | "internal" | "lost";

  /** `options.cause` keeps WebGPU's own error. */
  constructor(kind: GpuError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** Turns WebGPU's error objects into ours. */
export function toGpuError(error: GPUError, what: string): GpuError {
  const kind = error instanceof GPUOutOfMemoryError
    ? "out-of-memory"
    : error instanceof GPUValidationError
    ? "validation"
    : "internal";
  const reason = error.message || "no reason given by the driver";
  return new GpuError(kind, `Cannot ${what}: ${kind} error: ${reason}`, { cause: error });
}

/** The error of a buffer for which there was no memory. */
export function allocationError(
  error: GPUError,
  { label, byteLength }: { readonly label: string; readonly byteLength: number },
): GpuError {
  const { message } = toGpuError(error, `allocate "${label}" of ${byteLength} bytes`);
  const remedy = "Close other programs that use the GPU, or pass --max-gpu-memory or --precision f16";
  return new GpuError("out-of-memory", `${message}. ${remedy}`, { cause: error });
}

/** The error of a device that went away; `what` was being done. */
export function lossError({ reason, message }: GPUDeviceLostInfo, what: string): GpuError {
  const remedy = "Run the same command again; if this repeats, update the GPU driver";
  return new GpuError("lost", `Cannot ${what}: GPU device lost (${reason}): ${message}. ${remedy}`);
}
