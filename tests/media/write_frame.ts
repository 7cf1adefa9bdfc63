import type { Frame } from "../../src/media/frame.ts";
import { encodePng } from "../../src/media/png.ts";

/** Writes a frame as PNG. */
export async function writeFrame(path: string, frame: Frame): Promise<void> {
  await Deno.writeFile(path, encodePng(frame));
}
