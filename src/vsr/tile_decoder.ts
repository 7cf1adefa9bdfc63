import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import type { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { blendTile, type TileSpan } from "../kernels/blend_tile.ts";
import { scale } from "../kernels/elementwise.ts";
import type { VAEDecoder } from "../models/vae.ts";
import type { Step } from "./pacer.ts";

/** Tiles overlap their neighbours by a quarter of their side, as diffusers' do. */
const OVERLAPS_PER_TILE = 4;

/** A recording and the tensors that it must leave. */
export interface Recording<R extends Recorder = Recorder> {
  readonly rec: R;
  readonly outputs: readonly Tensor[];
}

/** A decoder that works in tiles. */
export interface Tiling {
  readonly decoder: VAEDecoder;
  /** Side of the square tiles, in latent pixels, a multiple of 4. */
  readonly tile: number;
}

/** The decoding of a latent in tiles; nothing has memory before the recordings are finished. */
export interface RecordedTiles<R extends Recorder = Recorder> {
  /** What a part of the latent is copied to. */
  readonly window: Tensor;
  /** The network on `window`. */
  readonly network: Recording<R>;
  /** How the network's picture is added to the whole one, for each part of the latent that begins at `row`, `column`. */
  readonly blends: readonly { readonly row: number; readonly column: number; readonly blend: Recording<R> }[];
  /** Where the tiles come together. */
  readonly picture: Tensor;
}

/** Records the picture [1, f·h, f·w, 3] of `latent` [1, h, w, L], as sampling leaves it. */
export function decodeLatent(rec: Recorder, decoder: VAEDecoder, latent: Tensor): Tensor {
  const factor = 1 / decoder.config.scaling_factor;
  return decoder.forward(rec, scale(rec, latent, { factor, label: "unscale latent" }));
}

/** A tensor without memory for the picture of a latent of `shape`, [1, h, w, L]; null where one tile holds all of it. */
export function pictureOfTiles(shape: readonly number[], { decoder, tile }: Tiling): Tensor | null {
  const [, height, width] = shape as [number, number, number];
  if (Math.max(height, width) <= tile) return null;
  return new Tensor([1, decoder.factor * height, decoder.factor * width, 3], "picture of tiles");
}

/** First pixels of the tiles along an axis of `size` pixels, each `tile` wide; spread evenly from border to border. */
export function tileBegins(size: number, tile: number): number[] {
  if (size <= tile) return [0];
  const gaps = Math.ceil((size - tile) / (tile - tile / OVERLAPS_PER_TILE));
  return Array.from({ length: gaps + 1 }, (_, i) => Math.floor(i * (size - tile) / gaps));
}

/** Records the decoding of latents of `shape` into `picture`, of `pictureOfTiles()`. */
export function recordTiles<R extends Recorder>(
  { decoder, tile }: Tiling,
  { shape, picture }: { readonly shape: readonly number[]; readonly picture: Tensor },
  newRecorder: () => R,
): RecordedTiles<R> {
  const [, height, width, channels] = shape as [number, number, number, number];
  const size = [1, Math.min(tile, height), Math.min(tile, width), channels];
  const window = new Tensor(size, "window of a latent");
  const rec = newRecorder();
  const part = decodeLatent(rec, decoder, window);
  const { factor } = decoder;
  const rows = tileBegins(height, tile), columns = tileBegins(width, tile);
  const blends = rows.flatMap((row, i) =>
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
  return { window, network: { rec, outputs: [part] }, blends, picture };
}

function span(begins: readonly number[], index: number, factor: number): TileSpan {
  const next = begins[index + 1];
  return { begin: factor * begins[index]!, next: next === undefined ? null : factor * next };
}

/** All recordings, in the order in which they are to be finished. */
export function tileRecordings<R extends Recorder>({ network, blends }: RecordedTiles<R>): Recording<R>[] {
  return [network, ...blends.map(({ blend }) => blend)];
}

/** Decodes latents in tiles into a picture, whose memory is the caller's. */
export class TileDecoder implements Disposable {
  readonly #recorded: RecordedTiles;
  readonly #plans: ReadonlyMap<Recording, Plan>;
  readonly #owned: Disposable;

  private constructor(recorded: RecordedTiles, plans: ReadonlyMap<Recording, Plan>, owned: Disposable) {
    this.#recorded = recorded;
    this.#plans = plans;
    this.#owned = owned;
  }

  /** Allocates everything but the picture; uses the arenas of `scratchOf`, which must never run at the same time. */
  static async create(
    gpu: Gpu,
    recorded: RecordedTiles,
    { scratchOf }: { readonly scratchOf?: Plan } = {},
  ): Promise<TileDecoder> {
    using owned = new DisposableStack();
    gpu.allocate(recorded.window);
    owned.adopt(recorded.window, (window) => gpu.free(window));
    const plans = new Map<Recording, Plan>();
    for (const recording of tileRecordings(recorded)) {
      plans.set(recording, owned.use(await recording.rec.finish(recording.outputs, { scratchOf })));
    }
    return new TileDecoder(recorded, plans, owned.move());
  }

  /** The work of decoding `latent`. */
  steps(latent: Tensor): Step[] {
    const { window, network, blends, picture } = this.#recorded;
    return [
      (encoder) => encoder.clearBuffer(picture.storage.buffer!),
      ...blends.flatMap(({ row, column, blend }): Step[] => [
        (encoder) => copyWindow(encoder, { latent, window, row, column }),
        this.#plans.get(network)!,
        this.#plans.get(blend)!,
      ]),
    ];
  }

  /** Frees its memory. */
  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
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
