import { setImmediate } from "node:timers";
import { allocationError, GpuError, LimitError, lossError, NoAdapterError, toGpuError } from "./errors.ts";
import { afterAllocation, beforeSubmit } from "./faults.ts";
import { requestDevice } from "./request_device.ts";
import { dropPadding, padChannels, Tensor, toHalves } from "./tensor.ts";
import { copyTexture, textureDescriptor, writeTexture } from "./texture.ts";

/** How to choose and use a device. */
export interface GpuOptions {
  /** Part of the adapter's description, any case; another adapter is refused. */
  device?: string;
  /** Accept a software adapter, which computes on the CPU. Default false. */
  allowCpu?: boolean;
  /** Largest range a kernel may bind, in bytes; larger tensors are computed in row bands. At most the adapter's limit. */
  maxBindingBytes?: number;
  /** Largest buffer, in bytes. At most the adapter's limit, which is the default of both. */
  maxBufferBytes?: number;
  /** Use subgroup operations where the adapter has them. Default true. */
  subgroups?: boolean;
}

/** What is known about the adapter in use. */
export interface AdapterFacts {
  /** The driver's description, e.g. "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly description: string;
  /** PCI vendor or name, as WebGPU gives it. */
  readonly vendor: string;
  /** Family of the GPU; often empty. */
  readonly architecture: string;
  /** True for adapters that compute on the CPU. */
  readonly software: boolean;
  /** Lanes of a subgroup, or 0 where subgroup operations cannot be used or their size varies. */
  readonly subgroupSize: number;
  /** Whether dispatches can be timed. */
  readonly timestamps: boolean;
  /** Whether shaders may use f16 arithmetic. */
  readonly float16: boolean;
  /** Largest range a kernel may bind. */
  readonly maxBindingBytes: number;
  /** Largest buffer. */
  readonly maxBufferBytes: number;
  /** Largest height of a texture. */
  readonly maxTextureRows: number;
  /** Workgroup memory. */
  readonly maxWorkgroupBytes: number;
  /** Invocations per workgroup. */
  readonly maxInvocations: number;
}

/** A variant that measurements found to be the fastest. */
export interface TuningAnswer {
  /** Kernel and constants. */
  readonly variant: string;
  /** Digest of all variants that were compared; for others the answer does not count. */
  readonly among: string;
}

/** What is known of the fastest variants, and what more knowledge may cost. */
export interface Tuning {
  /** By kernel and shape. Finishing a plan adds to them. */
  readonly answers: Map<string, TuningAnswer>;
  /** Time that finishing one plan may spend on measuring, about; 0 for none. */
  readonly budgetMs: number;
}

/** Offsets of bindings and of tensors inside arenas; WebGPU's default for both alignments. */
export const BINDING_ALIGNMENT = 256;

/** Bytes that are written before they are waited for: until then the driver keeps a copy of them on the host. */
export const QUEUED_BYTES: number = 64 * 2 ** 20;

/** Finds the adapter WebGPU prefers for compute, or says what is missing. */
export async function findAdapter(): Promise<GPUAdapter> {
  if (!navigator.gpu) throw new NoAdapterError("Cannot use WebGPU: this runtime has no navigator.gpu");
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new NoAdapterError(
      "Cannot find a GPU adapter: WebGPU returned none. Install a Vulkan loader and driver; `deno task doctor` says which",
    );
  }
  return adapter;
}

/**
 * A device with its queue and one error state: every error, whoever caused it, surfaces at the next `check()`
 * or awaited call as a `GpuError`.
 */
export class Gpu {
  readonly device: GPUDevice;
  readonly facts: AdapterFacts;
  /** By default nothing is known and nothing measured. */
  tuning: Tuning = { answers: new Map(), budgetMs: 0 };
  #error: GpuError | null = null;
  /** What the GPU was given to do last: what a lost device leaves undone. */
  #doing = "run GPU work";
  /** Bytes written since `flushWrites()` waited. */
  #queuedBytes = 0;
  readonly #lost: Promise<never>;

  private constructor(device: GPUDevice, facts: AdapterFacts) {
    this.device = device;
    this.facts = facts;
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#error ??= toGpuError((event as GPUUncapturedErrorEvent).error, "run GPU work");
    });
    this.#lost = device.lost.then((info) => {
      throw this.#error ??= lossError(info, this.#doing);
    });
    this.#lost.catch(() => {}); // noticed where it is raced
  }

  /**
   * Opens the adapter's device with its real limits and the features we can use.
   * Throws `NoAdapterError` when there is none, when `device` names another one, or for a software adapter
   * without `allowCpu`; `GpuError` where the adapter gives no device.
   */
  static async open(options: GpuOptions = {}): Promise<Gpu> {
    const adapter = await findAdapter();
    const { description, isFallbackAdapter } = adapter.info;
    if (options.device && !description.toLowerCase().includes(options.device.toLowerCase())) {
      throw new NoAdapterError(
        `Cannot use device "${options.device}": the adapter in reach is "${description}". WebGPU cannot list others; choose with VK_DRIVER_FILES or MESA_VK_DEVICE_SELECT`,
      );
    }
    if (isFallbackAdapter && !options.allowCpu) {
      throw new NoAdapterError(
        `Cannot use "${description}": it is a software adapter and computes on the CPU. Pass --allow-cpu to use it all the same, or install a GPU driver (deno task doctor)`,
      );
    }
    const limits = adapter.limits;
    const wanted = (["timestamp-query", "shader-f16"] as GPUFeatureName[]).filter((f) =>
      adapter.features.has(f)
    );
    const requiredLimits = {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxTextureDimension2D: limits.maxTextureDimension2D,
    };
    const { device, subgroups } = await requestDevice(
      adapter,
      wanted,
      requiredLimits,
      options.subgroups ?? true,
    );
    const { subgroupMinSize, subgroupMaxSize } = adapter.info as GPUAdapterInfo & SubgroupSizes;
    return new Gpu(device, {
      description,
      vendor: adapter.info.vendor,
      architecture: adapter.info.architecture,
      software: isFallbackAdapter,
      subgroupSize: subgroups && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0,
      timestamps: wanted.includes("timestamp-query"),
      float16: wanted.includes("shader-f16"),
      maxBindingBytes: Math.min(options.maxBindingBytes ?? Infinity, limits.maxStorageBufferBindingSize),
      maxBufferBytes: Math.min(options.maxBufferBytes ?? Infinity, limits.maxBufferSize),
      maxTextureRows: limits.maxTextureDimension2D,
      maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
      maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
    });
  }

  /** Throws the first error seen since the device was opened, if any. */
  check(): void {
    if (this.#error) throw this.#error;
  }

  /** `promise`, or the error that a device lost meanwhile leaves; every wait for the GPU must go through it. */
  async orLost<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#lost]);
  }

  /** Runs `body` inside error scopes; a GPU error becomes a `GpuError` "Cannot WHAT: ...". */
  async scoped<T>(what: string, body: () => T | Promise<T>): Promise<T> {
    this.check();
    this.#doing = what;
    for (const filter of ["internal", "out-of-memory", "validation"] as const) {
      this.device.pushErrorScope(filter);
    }
    let result: T | undefined, failure: unknown;
    try {
      result = await body();
    } catch (error) {
      failure = error ?? new Error(`Cannot ${what}`);
    }
    const errors: GPUError[] = [];
    for (let i = 0; i < 3; i++) {
      const error = await this.orLost(this.device.popErrorScope());
      if (error) errors.push(error);
    }
    await this.#settled(); // first: a failed allocation makes what follows invalid, and is the better reason
    if (failure) throw failure;
    if (errors[0]) throw toGpuError(errors[0], what);
    return result as T;
  }

  /**
   * A buffer. Sizes beyond the device's limit are refused here with a `LimitError`; when memory runs out, the next
   * `check()` after an await throws a `GpuError` with label and size.
   */
  createBuffer(byteLength: number, usage: number, label: string): GPUBuffer {
    this.check();
    if (byteLength > this.facts.maxBufferBytes) {
      throw new LimitError(
        `Cannot allocate "${label}": ${byteLength} bytes, this GPU allows ${this.facts.maxBufferBytes} per buffer`,
      );
    }
    const make = () => this.device.createBuffer({ size: byteLength, usage, label });
    return this.#allocate(make, { label, byteLength });
  }

  /** A texture for tensors of up to `byteLength` bytes; when memory runs out, as for `createBuffer()`. */
  createTexture(texture: Parameters<typeof textureDescriptor>[0]): GPUTexture {
    this.check();
    return this.#allocate(() => this.device.createTexture(textureDescriptor(texture)), texture);
  }

  /** A scope of its own for each allocation, about 4 µs, is what tells which one failed. */
  #allocate<T extends GPUBuffer | GPUTexture>(
    make: () => T,
    what: { readonly label: string; readonly byteLength: number },
  ): T {
    this.device.pushErrorScope("out-of-memory");
    const made = make();
    const scope = this.device.popErrorScope();
    const injected = afterAllocation(made);
    scope.then((error) => {
      const failure = injected ?? error;
      if (failure) this.#error ??= allocationError(failure, what);
    });
    return made;
  }

  /** Gives a persistent tensor its memory, zero-filled, if it has none yet. */
  allocate(tensor: Tensor): void {
    const { storage, label } = tensor, { byteLength } = storage;
    if (tensor.inTexture) {
      storage.texture ??= this.createTexture({ dtype: tensor.dtype, label, byteLength });
    } else {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      storage.buffer ??= this.createBuffer(byteLength, usage, label);
    }
  }

  /** A persistent tensor with memory of its own; filled with `data` (unpadded, row-major) if given. */
  tensor(shape: readonly number[], label: string, data?: Float32Array): Tensor {
    const tensor = new Tensor(shape, label);
    this.allocate(tensor);
    if (data) this.write(tensor, data);
    return tensor;
  }

  /** Copies unpadded row-major values into a persistent tensor, allocating it when needed. */
  write(tensor: Tensor, data: Float32Array): void {
    const padded = padChannels(data, tensor.shape);
    this.writeRaw(tensor, tensor.dtype === "f16" ? toHalves(padded, tensor.label) : padded);
  }

  /** Copies bytes as they are (already padded, any type) into a persistent tensor, from its byte `byteOffset` on. */
  writeRaw(
    tensor: Tensor,
    data: Float32Array | Uint32Array | Uint16Array | Float16Array,
    { byteOffset = 0 }: { readonly byteOffset?: number } = {},
  ): void {
    this.check();
    if (byteOffset + data.byteLength > tensor.storage.byteLength) {
      throw new RangeError(
        `Cannot write "${tensor.label}": ${data.byteLength} bytes at ${byteOffset} into ${tensor.storage.byteLength}`,
      );
    }
    this.allocate(tensor);
    const { buffer, texture, byteOffset: begin } = tensor.storage, { queue } = this.device;
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    if (texture) writeTexture(queue, texture, { data: bytes, byteOffset, vec4Bytes: tensor.vec4Bytes });
    else queue.writeBuffer(buffer!, begin + byteOffset, bytes);
    this.#queuedBytes += data.byteLength;
  }

  /** Waits where `QUEUED_BYTES` were written, or more; to be called after each of many writes. */
  async flushWrites(): Promise<void> {
    if (this.#queuedBytes < QUEUED_BYTES) return;
    this.#queuedBytes = 0;
    this.submit(() => {}, "write to buffers"); // what is written waits for the next submission
    await this.done();
  }

  /** Frees a persistent tensor's memory. */
  free(tensor: Tensor): void {
    tensor.storage.buffer?.destroy();
    tensor.storage.texture?.destroy();
    tensor.storage.buffer = tensor.storage.texture = null;
  }

  /** Encodes with `body` and submits. Does not wait. Errors say "Cannot WHAT: ...". */
  submit(body: (encoder: GPUCommandEncoder) => void, what = "run GPU work"): void {
    this.check();
    this.#doing = what;
    beforeSubmit(this.device);
    const encoder = this.device.createCommandEncoder();
    body(encoder);
    this.device.queue.submit([encoder.finish()]);
  }

  /** Waits for all submitted work; throws what went wrong meanwhile. Lets timers and signals through. */
  async done(): Promise<void> {
    await this.orLost(this.device.queue.onSubmittedWorkDone());
    await this.#settled();
  }

  /**
   * Throws what went wrong up to now. Deno 2.9 tells of a lost device and of uncaptured errors in a later turn of the
   * event loop than it ends waits.
   */
  async #settled(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.check();
  }

  /** Waits for and returns a tensor's bytes as stored, channel padding included. */
  async readRaw(tensor: Tensor): Promise<ArrayBuffer> {
    const { buffer, texture, byteOffset, byteLength } = tensor.storage, { label } = tensor;
    if (texture) {
      const copy = (encoder: GPUCommandEncoder, staging: GPUBuffer) => copyTexture(encoder, texture, staging);
      const bytes = await this.#readBack({ byteLength, label }, copy);
      return bytes.slice(0, tensor.vec4s * tensor.vec4Bytes);
    }
    if (!buffer) throw new GpuError("validation", `Cannot read "${label}": it has no memory`);
    return await this.readBuffer(buffer, { byteOffset, byteLength, label });
  }

  /** Waits for and returns a tensor's values, row-major, without padding. */
  async read(tensor: Tensor): Promise<Float32Array> {
    const bytes = await this.readRaw(tensor);
    const padded = tensor.dtype === "f16"
      ? Float32Array.from(new Float16Array(bytes))
      : new Float32Array(bytes);
    return dropPadding(padded, tensor.shape);
  }

  /** Waits for and returns a range of a buffer that has COPY_SRC usage; `label` is for messages. */
  async readBuffer(
    buffer: GPUBuffer,
    { byteOffset = 0, byteLength, label = buffer.label }: {
      readonly byteOffset?: number;
      readonly byteLength: number;
      readonly label?: string;
    },
  ): Promise<ArrayBuffer> {
    return await this.#readBack({ byteLength, label }, (encoder, staging) => {
      encoder.copyBufferToBuffer(buffer, byteOffset, staging, 0, byteLength);
    });
  }

  async #readBack(
    { byteLength, label }: { readonly byteLength: number; readonly label: string },
    copy: (encoder: GPUCommandEncoder, staging: GPUBuffer) => void,
  ): Promise<ArrayBuffer> {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const staging = this.createBuffer(byteLength, usage, `read-back of ${label}`);
    try {
      const what = `read back "${label}" of ${byteLength} bytes`;
      this.submit((encoder) => copy(encoder, staging), what);
      await this.orLost(this.#map(staging, what));
      await this.#settled(); // the device may have been lost before the copy was made
      return staging.getMappedRange().slice(0);
    } finally {
      staging.destroy();
    }
  }

  /** On a lost device, Deno 2.9 rejects `mapAsync()` before it resolves `device.lost`: wait for the reason. */
  async #map(staging: GPUBuffer, what: string): Promise<void> {
    try {
      await staging.mapAsync(GPUMapMode.READ);
    } catch (cause) {
      await this.done();
      throw new GpuError("internal", `Cannot ${what}: ${cause}`, { cause });
    }
  }

  /** Destroys the device and everything on it. */
  close(): void {
    this.device.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

interface SubgroupSizes {
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
}
