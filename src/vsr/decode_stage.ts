import type { Gpu } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { type Frame, isBlank } from "../media/frame.ts";
import type { VAEDecoder } from "../models/vae.ts";
import { BlankFrameError } from "./errors.ts";
import { nonFiniteError } from "./find_non_finite.ts";
import { FrameDecoder } from "./frame_decoder.ts";
import { Pacer } from "./pacer.ts";
import type { StageControl } from "./progress.ts";

export interface DecodeOptions extends StageControl {
  /** Bits per sample of each output frame. */
  readonly bitDepth: (frame: number) => 8 | 16;
  /** Side of the tiles that frames are decoded in, in latent pixels, a multiple of 4; default null: whole frames. */
  readonly tile?: number | null | undefined;
  /** Whether an input frame shows nothing, so that its output may be of one colour; by default none does. */
  readonly isBlank?: (frame: number) => boolean;
}

/**
 * Decodes latents [1, h, w, L] one by one into frames of f·h × f·w. The next frame is under way while the caller
 * deals with the one it got. Throws `NonFiniteError` instead of a frame with NaN or infinities in it, and
 * `BlankFrameError` instead of one that is of one colour and may not. Frames that are done according to `job` are left
 * out.
 */
export async function* decodeStage(
  gpu: Gpu,
  decoder: VAEDecoder,
  { latents, bitDepth, isBlank: isBlankInput, tile = null, job, onProgress, signal }: DecodeOptions & {
    readonly latents: readonly Tensor[];
  },
): AsyncGenerator<Frame> {
  const decoders = new Map<8 | 16, FrameDecoder>();
  const total = latents.length;
  const todo = [...latents.keys()].filter((index) => !job?.isDone(index));
  const pacer = new Pacer(gpu);

  async function start(index: number): Promise<FrameDecoder> {
    const depth = bitDepth(index), latent = latents[index]!;
    let frameDecoder = decoders.get(depth);
    if (!frameDecoder) {
      frameDecoder = await FrameDecoder.create(gpu, decoder, { shape: latent.shape, bitDepth: depth, tile });
      decoders.set(depth, frameDecoder);
    }
    await pacer.submit(frameDecoder.steps(latent), `decode frame ${index}`);
    return frameDecoder;
  }

  try {
    let done = total - todo.length;
    onProgress?.({ stage: "decode", done, total });
    signal?.throwIfAborted();
    let running = todo.length > 0 ? await start(todo[0]!) : null;
    for (const [i, index] of todo.entries()) {
      signal?.throwIfAborted();
      const { packed, check } = running!;
      const [words, [nonFinite]] = await Promise.all([gpu.readRaw(packed), gpu.read(check)]); // one wait
      pacer.settle(1);
      if (nonFinite !== 0) {
        const unit = { what: `decode frame ${index}`, steps: running!.steps(latents[index]!) };
        throw await nonFiniteError(gpu, { ...unit, badValues: nonFinite!, ignore: [packed] });
      }
      const { factor } = decoder;
      const height = factor * latents[index]!.size(1), width = factor * latents[index]!.size(2);
      const samples = 3 * height * width;
      const depth = bitDepth(index);
      const data = depth === 8 ? new Uint8Array(words, 0, samples) : new Uint16Array(words, 0, samples);
      const frame: Frame = { width, height, bitDepth: depth, data };
      if (isBlank(frame) && !isBlankInput?.(index)) {
        const colour = data.subarray(0, 3).join(", ");
        throw new BlankFrameError(
          `Cannot write frame ${index}: all its pixels are (${colour}), but its input shows something. Compare the weight files with their source; pass --precision f32 if they are stored as f16`,
        );
      }
      const next = todo[i + 1];
      // Once aborted, this frame is the last; the abort reason is thrown after it.
      if (next !== undefined && !signal?.aborted) running = await start(next);
      onProgress?.({ stage: "decode", done: ++done, total });
      yield frame;
    }
  } finally {
    for (const frameDecoder of decoders.values()) frameDecoder[Symbol.dispose]();
  }
}
