import { fileURLToPath } from "node:url";

/** Absolute paths of what comes with the program. */
export const BUNDLED = {
  model: pathTo("weights/nano"),
  demoFrames: pathTo("demo/frames"),
  demoGroundTruth: pathTo("demo/ground_truth"),
  demoUpscaled: pathTo("demo/upscaled"),
  /** The program's own modules, shaders, and version. */
  sources: pathTo("src"),
  shaders: pathTo("wgsl"),
  config: pathTo("deno.json"),
  /** Libraries; the picture decoders read their WebAssembly from here. */
  packages: pathTo("node_modules"),
} as const;

function pathTo(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}
