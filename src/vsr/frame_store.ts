import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { packedPixelsShape, type PixelFormat, unpackPixels } from "../kernels/pixels.ts";
import { type Frame, isBlank } from "../media/frame.ts";

/** The end of a fade to black is noise of a few levels; upscaling may well make one colour of it. */
const BLANK_TOLERANCE = 1 / 32;

interface Unpacker {
  readonly input: Tensor;
  readonly output: Tensor;
  readonly plan: Plan;
}

/** The low-resolution frames of a clip. */
export interface Clip {
  readonly height: number;
  readonly width: number;
  readonly count: number;
  /** Encodes: frame `index`, as values in [-1, 1], to `target` [1, h, w, 3]. */
  load(encoder: GPUCommandEncoder, index: number, target: Tensor): void;
}

/** A clip on the GPU, as packed integers: 3 or 6 bytes per pixel. */
export class FrameStore implements Clip {
  readonly height: number;
  readonly width: number;
  readonly #gpu: Gpu;
  readonly #frames: { readonly packed: Tensor; readonly bitDepth: 8 | 16; readonly blank: boolean }[] = [];
  readonly #unpackers = new Map<8 | 16, Unpacker>();

  constructor(gpu: Gpu, size: { readonly height: number; readonly width: number }) {
    this.#gpu = gpu;
    this.height = size.height;
    this.width = size.width;
  }

  /** Number of frames. */
  get count(): number {
    return this.#frames.length;
  }

  bitDepth(index: number): 8 | 16 {
    return this.#frames[index]!.bitDepth;
  }

  /** Whether a frame shows nothing but noise. */
  isBlank(index: number): boolean {
    return this.#frames[index]!.blank;
  }

  /** Uploads the next frame. Throws `RangeError` where its size is not the clip's. */
  async add(frame: Frame): Promise<void> {
    const { height, width, bitDepth } = frame;
    if (height !== this.height || width !== this.width) {
      throw new RangeError(
        `Cannot add frame ${this.count}: it is ${width}×${height}, the clip is ${this.width}×${this.height}`,
      );
    }
    if (!this.#unpackers.has(bitDepth)) this.#unpackers.set(bitDepth, await this.#makeUnpacker(bitDepth));
    const bytes = new Uint8Array(frame.data.buffer, frame.data.byteOffset, frame.data.byteLength);
    const words = new Uint32Array(Math.ceil(bytes.length / 4));
    new Uint8Array(words.buffer).set(bytes);
    const packed = this.#gpu.tensor(packedPixelsShape({ height, width, bitDepth }), `frame ${this.count}`);
    this.#gpu.writeRaw(packed, words);
    await this.#gpu.flushWrites();
    this.#frames.push({ packed, bitDepth, blank: isBlank(frame, BLANK_TOLERANCE) });
  }

  load(encoder: GPUCommandEncoder, index: number, target: Tensor): void {
    const { packed, bitDepth } = this.#frames[index]!;
    const { input, output, plan } = this.#unpackers.get(bitDepth)!;
    copyTensor(encoder, packed, input);
    plan.encode(encoder);
    copyTensor(encoder, output, target);
  }

  async #makeUnpacker(bitDepth: 8 | 16): Promise<Unpacker> {
    const { height, width } = this;
    const rec = new Recorder(this.#gpu);
    const { input, output } = recordUnpacker(rec, { height, width, bitDepth });
    this.#gpu.allocate(input);
    return { input, output, plan: await rec.finish([output]) };
  }

  /** Frees all frames. */
  destroy(): void {
    for (const { packed } of this.#frames) this.#gpu.free(packed);
    for (const { input, plan } of this.#unpackers.values()) {
      this.#gpu.free(input);
      plan.destroy();
    }
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** Records the unpacking of a frame into floats [1, h, w, 3]; `input` has no memory yet. */
export function recordUnpacker(rec: Recorder, format: PixelFormat): { input: Tensor; output: Tensor } {
  const input = new Tensor(packedPixelsShape(format), "packed frame");
  return { input, output: unpackPixels(rec, input, { ...format, label: "unpack frame" }) };
}

/** Encodes a copy between tensors of one size that have memory. */
export function copyTensor(encoder: GPUCommandEncoder, from: Tensor, to: Tensor): void {
  const { byteLength } = from.storage;
  if (byteLength !== to.storage.byteLength || !from.storage.buffer || !to.storage.buffer) {
    throw new RangeError(`Cannot copy "${from.label}" [${from.shape}] to "${to.label}" [${to.shape}]`);
  }
  encoder.copyBufferToBuffer(
    from.storage.buffer,
    from.storage.byteOffset,
    to.storage.buffer,
    to.storage.byteOffset,
    byteLength,
  );
}
