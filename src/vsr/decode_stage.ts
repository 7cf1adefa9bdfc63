import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { scale } from "../kernels/elementwise.ts";
import { finiteCheck } from "../kernels/finite_check.ts";
import { packPixels } from "../kernels/pixels.ts";
import type { Frame } from "../media/frame.ts";
import type { VAEDecoder } from "../models/vae.ts";
import { copyTensor } from "./frame_store.ts";
import { Pacer } from "./pacer.ts";
import type { StageControl } from "./progress.ts";

/** A decoded frame held values that are no numbers; nothing of it is handed out. */
export class NonFiniteError extends Error {
  /** The class, for messages. */
  override name = "NonFiniteError";
}

export interface DecodeOptions extends StageControl {
  /** Bits per sample of each output frame. */
  readonly bitDepth: (frame: number) => 8 | 16;
}

interface DecodePlan {
  readonly input: Tensor;
  readonly packed: Tensor;
  readonly check: Tensor;
  readonly plan: Plan;
}

/**
 * Decodes latents [1, h, w, L] one by one into frames of f·h × f·w. The next frame is under way while the caller
 * deals with the one it got. Throws `NonFiniteError` instead of a frame with NaN or infinities in it.
 */
export async function* decodeStage(
  gpu: Gpu,
  decoder: VAEDecoder,
  { latents, bitDepth, onProgress, signal }: DecodeOptions & { readonly latents: readonly Tensor[] },
): AsyncGenerator<Frame> {
  const plans = new Map<8 | 16, DecodePlan>();
  const total = latents.length;
  const pacer = new Pacer(gpu);

  async function start(index: number): Promise<DecodePlan> {
    signal?.throwIfAborted();
    const depth = bitDepth(index);
    let recorded = plans.get(depth);
    if (!recorded) {
      recorded = await recordDecode(gpu, decoder, { shape: latents[index]!.shape, depth });
      plans.set(depth, recorded);
    }
    const { input, plan } = recorded;
    await pacer.submit([(encoder) => copyTensor(encoder, latents[index]!, input), plan], signal);
    return recorded;
  }

  try {
    onProgress?.({ stage: "decode", done: 0, total });
    let running = total > 0 ? await start(0) : null;
    for (let index = 0; index < total; index++) {
      const { packed, check, input } = running!;
      const words = await gpu.readRaw(packed);
      const [nonFinite] = await gpu.read(check);
      pacer.settle(1);
      if (nonFinite !== 0) {
        throw new NonFiniteError(
          `Cannot write frame ${index}: ${nonFinite} of its decoded values are NaN or infinite. The model's weights or settings are at fault; nothing was written for this frame`,
        );
      }
      const factor = 2 ** (decoder.config.block_out_channels.length - 1);
      const height = factor * input.size(1), width = factor * input.size(2);
      const samples = 3 * height * width;
      const depth = bitDepth(index);
      if (index + 1 < total) running = await start(index + 1);
      onProgress?.({ stage: "decode", done: index + 1, total });
      const data = depth === 8 ? new Uint8Array(words, 0, samples) : new Uint16Array(words, 0, samples);
      yield { width, height, bitDepth: depth, data };
    }
  } finally {
    for (const { plan, input } of plans.values()) {
      plan.destroy();
      gpu.free(input);
    }
  }
}

async function recordDecode(
  gpu: Gpu,
  decoder: VAEDecoder,
  { shape, depth }: { readonly shape: readonly number[]; readonly depth: 8 | 16 },
): Promise<DecodePlan> {
  const rec = new Recorder(gpu);
  const input = gpu.tensor(shape, "latent to decode");
  const z = scale(rec, input, { factor: 1 / decoder.config.scaling_factor, label: "unscale latent" });
  const picture = decoder.forward(rec, z);
  const check = finiteCheck(rec, picture, { label: "check frame" });
  const packed = packPixels(rec, picture, { bitDepth: depth, label: "pack frame" });
  const plan = await rec.finish([check, packed]);
  return { input, check, packed, plan };
}
