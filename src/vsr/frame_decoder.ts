import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { blendTile, type TileSpan } from "../kernels/blend_tile.ts";
import { scale } from "../kernels/elementwise.ts";
import { finiteCheck } from "../kernels/finite_check.ts";
import { packPixels } from "../kernels/pixels.ts";
import type { VAEDecoder } from "../models/vae.ts";
import { copyTensor } from "./frame_store.ts";
import type { Step } from "./pacer.ts";

/** Tiles overlap their neighbours by a quarter of their side, as diffusers' do. */
const OVERLAPS_PER_TILE = 4;

/** What is decoded, and how. */
export interface FrameDecoderOptions {
  /** Shape of a latent, [1, h, w, L]. */
  readonly shape: readonly number[];
  /** Bits per sample of the frame. */
  readonly bitDepth: 8 | 16;
  /** Side of the square tiles that are decoded one by one, in latent pixels, a multiple of 4; null for whole frames. */
  readonly tile: number | null;
}

/** A recording and the tensors that it must leave. */
export interface Recording {
  readonly rec: Recorder;
  readonly outputs: readonly Tensor[];
}

/** The parts of a frame's decoding; nothing has memory before the recordings are finished. */
export interface RecordedDecoder {
  /** What a latent, or a window of it, is copied to. */
  readonly input: Tensor;
  /** The network on `input`, up to the packed frame where there are no tiles. */
  readonly network: Recording;
  /** How the network's picture is added to `picture`, for each window of the latent. */
  readonly tiles: readonly { readonly row: number; readonly column: number; readonly blend: Recording }[];
  /** Where the tiles come together, and what makes the packed frame of it; null without tiles. */
  readonly whole: { readonly picture: Tensor; readonly output: Recording } | null;
  /** How many values are not finite. */
  readonly check: Tensor;
  /** The frame's bytes. */
  readonly packed: Tensor;
}

/** First pixels of the tiles along an axis of `size` pixels, each `tile` wide; spread evenly from border to border. */
export function tileBegins(size: number, tile: number): number[] {
  if (size <= tile) return [0];
  const gaps = Math.ceil((size - tile) / (tile - tile / OVERLAPS_PER_TILE));
  return Array.from({ length: gaps + 1 }, (_, i) => Math.floor(i * (size - tile) / gaps));
}

/** Records the decoding of frames with recorders that `newRecorder` makes. */
export function recordDecoder(
  decoder: VAEDecoder,
  options: FrameDecoderOptions,
  newRecorder: () => Recorder,
): RecordedDecoder {
  const { bitDepth } = options;
  const [, height, width, channels] = options.shape as [number, number, number, number];
  const tile = options.tile ?? Math.max(height, width);
  const input = new Tensor([1, Math.min(tile, height), Math.min(tile, width), channels], "latent to decode");
  const rec = newRecorder();
  const z = scale(rec, input, { factor: 1 / decoder.config.scaling_factor, label: "unscale latent" });
  const part = decoder.forward(rec, z);
  if (height <= tile && width <= tile) {
    const frame = recordFrame(rec, part, bitDepth);
    const outputs = Object.values(frame);
    return { input, network: { rec, outputs }, tiles: [], whole: null, ...frame };
  }
  const factor = part.size(1) / input.size(1);
  const picture = new Tensor([1, factor * height, factor * width, 3], "picture of tiles");
  const rows = tileBegins(height, tile), columns = tileBegins(width, tile);
  const tiles = rows.flatMap((row, i) =>
    columns.map((column, j) => {
      const blend = newRecorder();
      blendTile(blend, part, {
        y: picture,
        rows: span(rows, i, factor),
        columns: span(columns, j, factor),
        fade: factor * tile / OVERLAPS_PER_TILE,
        label: "blend tile",
      });
      return { row, column, blend: { rec: blend, outputs: [] } };
    })
  );
  const output = newRecorder();
  const frame = recordFrame(output, picture, bitDepth);
  const whole = { picture, output: { rec: output, outputs: Object.values(frame) } };
  return { input, network: { rec, outputs: [part] }, tiles, whole, ...frame };
}

function recordFrame(rec: Recorder, picture: Tensor, bitDepth: 8 | 16): { check: Tensor; packed: Tensor } {
  return {
    check: finiteCheck(rec, picture, { label: "check frame" }),
    packed: packPixels(rec, picture, { bitDepth, label: "pack frame" }),
  };
}

function span(begins: readonly number[], index: number, factor: number): TileSpan {
  const next = begins[index + 1];
  return { begin: factor * begins[index]!, next: next === undefined ? null : factor * next };
}

/** Decodes latents into packed frames, whole or in tiles. */
export class FrameDecoder implements Disposable {
  readonly #gpu: Gpu;
  readonly #recorded: RecordedDecoder;
  readonly #plans = new Map<Recording, Plan>();

  private constructor(gpu: Gpu, recorded: RecordedDecoder) {
    this.#gpu = gpu;
    this.#recorded = recorded;
  }

  /** Records and allocates everything. */
  static async create(gpu: Gpu, decoder: VAEDecoder, options: FrameDecoderOptions): Promise<FrameDecoder> {
    const recorded = recordDecoder(decoder, options, () => new Recorder(gpu));
    const frameDecoder = new FrameDecoder(gpu, recorded);
    try {
      for (const tensor of decoderTensors(recorded)) gpu.allocate(tensor);
      for (const recording of decoderRecordings(recorded)) {
        frameDecoder.#plans.set(recording, await recording.rec.finish(recording.outputs));
      }
      return frameDecoder;
    } catch (error) {
      frameDecoder[Symbol.dispose]();
      throw error;
    }
  }

  /** How many values of the last frame are not finite, [1]. */
  get check(): Tensor {
    return this.#recorded.check;
  }

  /** The bytes of the last frame; see `packPixels()`. */
  get packed(): Tensor {
    return this.#recorded.packed;
  }

  /** The work of decoding `latent`. */
  steps(latent: Tensor): Step[] {
    const { input, network, tiles, whole } = this.#recorded;
    const plan = (recording: Recording) => this.#plans.get(recording)!;
    if (!whole) return [(encoder) => copyTensor(encoder, latent, input), plan(network)];
    return [
      (encoder) => encoder.clearBuffer(whole.picture.storage.buffer!),
      ...tiles.flatMap(({ row, column, blend }): Step[] => [
        (encoder) => copyWindow(encoder, { latent, window: input, row, column }),
        plan(network),
        plan(blend),
      ]),
      plan(whole.output),
    ];
  }

  /** Frees its memory. */
  [Symbol.dispose](): void {
    for (const plan of this.#plans.values()) plan.destroy();
    for (const tensor of decoderTensors(this.#recorded)) this.#gpu.free(tensor);
  }
}

/** Tensors of a decoder that have memory of their own. */
export function decoderTensors({ input, whole }: RecordedDecoder): Tensor[] {
  return whole ? [input, whole.picture] : [input];
}

/** All recordings of a decoder; each may read what those before it leave. */
export function decoderRecordings({ network, tiles, whole }: RecordedDecoder): Recording[] {
  return [network, ...tiles.map(({ blend }) => blend), ...whole ? [whole.output] : []];
}

/** Encodes the copy of the part of `latent` that begins at `row`, `column` and has the size of `window`. */
function copyWindow(
  encoder: GPUCommandEncoder,
  { latent, window, row, column }: {
    readonly latent: Tensor;
    readonly window: Tensor;
    readonly row: number;
    readonly column: number;
  },
): void {
  const pixelBytes = latent.channels4 * latent.vec4Bytes;
  const rowBytes = pixelBytes * window.size(2);
  for (let i = 0; i < window.size(1); i++) {
    encoder.copyBufferToBuffer(
      latent.storage.buffer!,
      latent.storage.byteOffset + pixelBytes * ((row + i) * latent.size(2) + column),
      window.storage.buffer!,
      window.storage.byteOffset + rowBytes * i,
      rowBytes,
    );
  }
}
