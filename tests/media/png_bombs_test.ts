import { deepStrictEqual, match, ok, rejects } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { decodePng } from "../../src/media/png.ts";
import { GREY_IDAT as IDAT, GREY_IHDR as IHDR, type PngChunk, pngFile } from "./png_file.ts";

const PIXELS = [10, 10, 10, 20, 20, 20];

/** Of libpng's crash tests, `huge_*` and `empty_ancillary_chunks`, but for the critical ones; the last is unknown. */
const ANCILLARY = "bKGD cHRM eXIf gAMA hIST iCCP iTXt pCAL pHYs sCAL sPLT sRGB sTER tEXt tIME tRNS zTXt juNk"
  .split(" ");

Deno.test("decodePng() refuses a chunk of any type that claims 2 GiB, and takes one that is empty", async () => {
  for (const type of ANCILLARY) {
    const bytes = pngFile([IHDR, [type, []], IDAT]);
    deepStrictEqual([...(await decodePng(bytes, type)).data], PIXELS, type);
    bytes.set([0x7f, 0xff, 0xff, 0xff], 33);
    await rejects(decodePng(bytes, type), {
      name: "SyntaxError",
      message: new RegExp(`${type} at byte 33 has 2147483647 bytes, file has \\d+ left`),
    });
  }
});

for (
  const [name, what, outcome] of [
    [
      "text",
      "does not inflate what it does not need: 64 MiB of text and of colour profile",
      /^10,10,10,20,20,20$/,
    ],
    ["pixels", "stops inflating where the picture ends", /pixel data is longer than the picture's 3 bytes/],
    [
      "claim",
      "takes no memory for pixels that a small file only claims",
      /pixel data has 3 bytes, wanted 536879104/,
    ],
  ] as const
) {
  Deno.test(`decodePng() ${what}`, async () => {
    // Memory is that of a process: other tests must not run in it.
    const script = fileURLToPath(new URL("./_decode_bomb.ts", import.meta.url));
    const args = ["run", "--no-prompt", "--allow-read", script, name];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    const report = new TextDecoder().decode(stdout);
    ok(report, new TextDecoder().decode(stderr));
    const { result, grownBytes } = JSON.parse(report);
    match(result, outcome);
    ok(grownBytes < 2 ** 25, `memory has grown by ${grownBytes} bytes`);
  });
}

Deno.test("decodePng() takes thousands of empty IDATs and refuses more chunks than any encoder writes", async () => {
  const empty: PngChunk = ["IDAT", []];
  deepStrictEqual(
    [...(await decodePng(pngFile([IHDR, ...Array(10_000).fill(empty), IDAT]), "x")).data],
    PIXELS,
  );
  // IHDR, IDAT and IEND count too.
  const most = 2 ** 18 - 3;
  deepStrictEqual(
    [...(await decodePng(pngFile([IHDR, ...Array(most).fill(empty), IDAT]), "x")).data],
    PIXELS,
  );
  const bytes = pngFile([IHDR, ...Array(most + 1).fill(empty), IDAT]);
  await rejects(decodePng(bytes, "x"), { message: /number of chunks is over 262144/ });
});
