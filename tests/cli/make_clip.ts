import { join } from "node:path";
import { writeFrame } from "../media/write_frame.ts";

/** Writes `count` frames, frame_0001.png and so on, that are waves and differ. */
export async function makeClip(
  folder: string,
  { width, height, count }: { readonly width: number; readonly height: number; readonly count: number },
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (let i = 0; i < count; i++) {
    const data = Uint8Array.from({ length: width * height * 3 }, (_, k) => 128 + 100 * Math.sin(0.1 * k + i));
    await writeFrame(join(folder, `frame_000${i + 1}.png`), { width, height, bitDepth: 8, data });
  }
}
