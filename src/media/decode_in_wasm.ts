import { dropAlpha } from "./drop_alpha.ts";
import type { Frame } from "./frame.ts";
import { pictureError } from "./picture_error.ts";

/** Options of the packages' module factories; their own type leaves `printErr` out. */
interface ModuleOptions {
  readonly noInitialRun: true;
  readonly printErr: (line: string) => void;
}

/** What the codecs give: RGBA, 8 bits, not premultiplied; null on failure. */
export type WasmImage = { width: number; height: number; data: Uint8ClampedArray } | null;

/** One picture to decode; `format`, `name`, `width` and `height` are what its header and the user call it. */
export interface WasmDecoding<Module> {
  readonly format: string;
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly decode: (module: Module) => WasmImage;
}

/**
 * Decodes 8-bit RGBA with a codec in WebAssembly and drops the alpha. Throws SyntaxError if the codec fails, complains, or
 * gives another size than the header's.
 *
 * Each picture gets a fresh instance, which costs about 2 ms: its memory goes back afterwards, and a bad file cannot leave
 * it broken for the next one.
 */
export async function decodeInWasm<Module>(
  createModule: (options: ModuleOptions) => Promise<Module>,
  decoding: WasmDecoding<Module>,
): Promise<Frame> {
  const { format, name, width, height } = decoding;
  const module = await createModule({ noInitialRun: true, printErr: stop }).catch((error: Error) => {
    // Without this, a missing permission for the package's folder would look like one for the picture.
    throw new Error(`Cannot load the ${format} decoder: ${error.message}`, { cause: error });
  });
  const lackOfMemory = `lack of memory for ${width} x ${height} pixels`;
  let image: WasmImage;
  try {
    image = decoding.decode(module);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // Emscripten's word for running out of memory, among other ends.
    throw fail(reason.startsWith("Aborted(") ? `decoding failed, most likely for ${lackOfMemory}` : reason);
  }
  if (image === null) throw fail(`pixel data is corrupt, or there is a ${lackOfMemory}`);
  if (image.width !== width || image.height !== height) {
    const reason = `decoded size is ${image.width} x ${image.height}, header says ${width} x ${height}`;
    throw fail(reason);
  }
  return { width, height, bitDepth: 8, data: dropAlpha(image.data) };

  function fail(reason: string): SyntaxError {
    return pictureError(format, { name, reason });
  }
}

/**
 * Ends the decoding at the codec's first complaint: libjpeg's warnings mean that it goes on with made-up pixels, for as
 * many as the header claims.
 */
function stop(line: string): never {
  throw new Error(line);
}
