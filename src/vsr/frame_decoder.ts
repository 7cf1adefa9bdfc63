import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { finiteCheck } from "../kernels/finite_check.ts";
import { packPixels } from "../kernels/pixels.ts";
import type { VAEDecoder } from "../models/vae.ts";
import { copyTensor } from "./frame_store.ts";
import type { Step } from "./pacer.ts";
import {
  decodeLatent,
  pictureOfTiles,
  type RecordedTiles,
  type Recording,
  recordTiles,
  TileDecoder,
} from "./tile_decoder.ts";

/** What is decoded, and how. */
export interface FrameDecoderOptions {
  /** Shape of a latent, [1, h, w, L]. */
  readonly shape: readonly number[];
  /** Bits per sample of the frame. */
  readonly bitDepth: 8 | 16;
  /** Side of the square tiles that are decoded one by one, in latent pixels, a multiple of 4; null for whole frames. */
  readonly tile: number | null;
}

/** The parts of a frame's decoding; nothing has memory before the recordings are finished. */
export interface RecordedDecoder<R extends Recorder = Recorder> {
  /** What fills `input` with a picture; null where it is to be a latent. */
  readonly tiles: RecordedTiles<R> | null;
  /** What `frame` begins with; has memory of its own. */
  readonly input: Tensor;
  /** From `input` to the packed frame. */
  readonly frame: Recording<R>;
  /** How many values are not finite. */
  readonly check: Tensor;
  /** The frame's bytes. */
  readonly packed: Tensor;
}

/** Records the decoding of frames with recorders that `newRecorder` makes. */
export function recordDecoder<R extends Recorder>(
  decoder: VAEDecoder,
  { shape, bitDepth, tile }: FrameDecoderOptions,
  newRecorder: () => R,
): RecordedDecoder<R> {
  const tiling = tile === null ? null : { decoder, tile };
  const picture = tiling && pictureOfTiles(shape, tiling);
  const tiles = picture && recordTiles(tiling!, { shape, picture }, newRecorder);
  const input = picture ?? new Tensor(shape, "latent to decode");
  const rec = newRecorder();
  const decoded = picture ?? decodeLatent(rec, decoder, input);
  const check = finiteCheck(rec, decoded, { label: "check frame" });
  const packed = packPixels(rec, decoded, { bitDepth, label: "pack frame" });
  return { tiles, input, frame: { rec, outputs: [check, packed] }, check, packed };
}

/** Decodes latents into packed frames, whole or in tiles. */
export class FrameDecoder implements Disposable {
  readonly #recorded: RecordedDecoder;
  readonly #tiles: TileDecoder | null;
  readonly #plan: Plan;
  readonly #owned: Disposable;

  private constructor(
    recorded: RecordedDecoder,
    { tiles, plan, owned }: {
      readonly tiles: TileDecoder | null;
      readonly plan: Plan;
      readonly owned: Disposable;
    },
  ) {
    this.#recorded = recorded;
    this.#tiles = tiles;
    this.#plan = plan;
    this.#owned = owned;
  }

  /** Records and allocates everything. */
  static async create(gpu: Gpu, decoder: VAEDecoder, options: FrameDecoderOptions): Promise<FrameDecoder> {
    const recorded = recordDecoder(decoder, options, () => new Recorder(gpu));
    using owned = new DisposableStack();
    gpu.allocate(recorded.input);
    owned.adopt(recorded.input, (input) => gpu.free(input));
    const tiles = recorded.tiles && owned.use(await TileDecoder.create(gpu, recorded.tiles));
    const plan = owned.use(await recorded.frame.rec.finish(recorded.frame.outputs));
    return new FrameDecoder(recorded, { tiles, plan, owned: owned.move() });
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
    const begin = this.#tiles?.steps(latent) ??
      [(encoder: GPUCommandEncoder) => copyTensor(encoder, latent, this.#recorded.input)];
    return [...begin, this.#plan];
  }

  /** Frees its memory. */
  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
