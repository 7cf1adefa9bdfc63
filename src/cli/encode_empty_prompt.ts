import type { TextEncoderFolder } from "../checkpoint/text_encoder_folder.ts";
import { writeSafetensors } from "../checkpoint/write_safetensors.ts";
import { Gpu } from "../gpu/device.ts";
import { GpuError, LimitError, NoAdapterError } from "../gpu/errors.ts";
import { escapeName } from "../text/escape_name.ts";
import { encodePrompts } from "../vsr/encode_prompts.ts";
import type { Reporter } from "./progress.ts";

/**
 * What a text encoder makes of the empty prompt on whatever adapter there is, as the content of a file, so that nobody has
 * to load the encoder for it. Null, with a warning, where no adapter can do it. Errors as `encodePrompts()`.
 */
export async function encodeEmptyPrompt(
  encoder: TextEncoderFolder,
  reporter: Reporter,
): Promise<AsyncIterable<Uint8Array> | null> {
  try {
    using gpu = await Gpu.open({ allowCpu: true });
    const [embedding] = await encodePrompts(gpu, encoder, { prompts: [""] });
    const { data, shape } = embedding!;
    return writeSafetensors(new Map([["prompt_embeds", shape]]), ReadableStream.from([data]));
  } catch (error) {
    if (![GpuError, LimitError, NoAdapterError].some((kind) => error instanceof kind)) throw error;
    const reason = escapeName((error as Error).message);
    const message =
      `the empty prompt is not encoded, so upscale will load the text encoder for it: ${reason}`;
    reporter.report({ event: "warning", message });
    return null;
  }
}
