import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";

Deno.test("decodePicture() says so when a decoder runs out of memory, and decodes the next picture", async () => {
  const script = fileURLToPath(new URL("./_decode_large_and_small.ts", import.meta.url));
  // 1600 pages of 64 KiB are 100 MiB.
  const args = ["run", "--v8-flags=--wasm-max-mem-pages=1600", "--allow-read", script];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  strictEqual(code, 0, new TextDecoder().decode(stderr));
  const outcomes: string[] = JSON.parse(new TextDecoder().decode(stdout));
  const reasons = {
    png:
      /^SyntaxError: Cannot decode PNG "png": decoding failed \(unreachable\), most likely for lack of memory for 6144 x 6144 pixels/,
    jpeg: /^SyntaxError: Cannot decode JPEG "jpeg": decoding failed, most likely for lack of memory/,
    webp: /^SyntaxError: Cannot decode WebP "webp": pixel data is corrupt, or there is a lack of memory/,
  };
  for (const [i, reason] of Object.values(reasons).entries()) {
    const [large, small, largeAgain, smallAgain] = outcomes.slice(4 * i, 4 * i + 4);
    match(large!, reason);
    match(largeAgain!, reason);
    deepStrictEqual([small, smallAgain], ["16", "16"]);
  }
  strictEqual(outcomes.length, 12);
});
