// Makes the README's picture: one crop of a demo frame, bicubic on the left, the program's output on the right.
// Usage: deno task demo, then deno run --allow-read --allow-write tools/picture_pair.ts

// deno-lint-ignore-file no-console -- a command prints

import type { Frame } from "../src/media/frame.ts";
import { decodePng, encodePng } from "../src/media/png.ts";
import { upscaleBicubic } from "../src/media/resample.ts";

const LOW_RESOLUTION = "demo/frames/frame_0005.png";
const UPSCALED = "demo/upscaled/frame_0005.png";
const PAIR = "docs/images/demo_pair.png";

/** What is shown, in pixels of the upscaled frame. */
const CROP = { left: 168, top: 16, width: 240, height: 160 };
/** Both sides are enlarged by this, pixel by pixel: nothing is smoothed. */
const ZOOM = 2;
/** White columns between the sides. */
const GAP = 8;

/**
 * Puts the same crop of two 8-bit frames of one size side by side, each pixel `ZOOM` × `ZOOM` large. Throws
 * `RangeError` for other depths or where a frame is smaller than the crop reaches.
 */
function pairOfCrops(left: Frame, right: Frame): Frame {
  const side = ZOOM * CROP.width;
  const width = 2 * side + GAP, height = ZOOM * CROP.height;
  const data = new Uint8Array(3 * width * height).fill(255);
  for (const [from, frame] of [[0, left], [side + GAP, right]] as const) {
    if (
      frame.bitDepth !== 8 || frame.width < CROP.left + CROP.width || frame.height < CROP.top + CROP.height
    ) {
      throw new RangeError(
        `Cannot crop frame: it is ${frame.width} x ${frame.height} with ${frame.bitDepth} bits, wanted 8 bits and at least ${
          CROP.left + CROP.width
        } x ${CROP.top + CROP.height}`,
      );
    }
    for (let y = 0; y < height; y++) {
      const row = (CROP.top + Math.floor(y / ZOOM)) * frame.width + CROP.left;
      for (let x = 0; x < side; x++) {
        const at = 3 * (row + Math.floor(x / ZOOM));
        data.set(frame.data.subarray(at, at + 3), 3 * (y * width + from + x));
      }
    }
  }
  return { width, height, bitDepth: 8, data };
}

if (import.meta.main) {
  const lowResolution = await decodePng(await Deno.readFile(LOW_RESOLUTION), LOW_RESOLUTION);
  const upscaled = await decodePng(await Deno.readFile(UPSCALED), UPSCALED);
  const bytes = encodePng(pairOfCrops(upscaleBicubic(lowResolution, 4), upscaled));
  await Deno.mkdir("docs/images", { recursive: true });
  await Deno.writeFile(PAIR, bytes);
  console.log(`${PAIR}: ${bytes.length} bytes`);
}
