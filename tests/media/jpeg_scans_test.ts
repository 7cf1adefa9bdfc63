import { doesNotThrow, throws } from "node:assert/strict";
import { JpegScans } from "../../src/media/jpeg_scans.ts";

/** Components, first and last coefficient, shift before and after. */
type Scan = readonly [components: number[], first: number, last: number, before: number, after: number];

/** What libjpeg writes for YCbCr by default. */
const USUAL: readonly Scan[] = [
  [[1, 2, 3], 0, 0, 0, 1],
  [[1], 1, 5, 0, 2],
  [[3], 1, 63, 0, 1],
  [[2], 1, 63, 0, 1],
  [[1], 6, 63, 0, 2],
  [[1], 1, 63, 2, 1],
  [[1, 2, 3], 0, 0, 1, 0],
  [[3], 1, 63, 1, 0],
  [[2], 1, 63, 1, 0],
  [[1], 1, 63, 1, 0],
];
const WHOLE: Scan = [[1, 2, 3], 0, 63, 0, 0];

Deno.test("JpegScans takes one scan of everything, one per component, and libjpeg's progression", () => {
  doesNotThrow(() => finish([WHOLE]));
  doesNotThrow(() => finish([1, 2, 3].map((id) => [[id], 0, 63, 0, 0])));
  doesNotThrow(() => finish(USUAL));
});

Deno.test("JpegScans misses any scan that is left out", () => {
  throws(() => finish([]), /file has no picture/);
  for (let i = 0; i < USUAL.length; i++) {
    throws(() => finish(USUAL.toSpliced(i, 1)), /scans are missing|does not follow/, `scan ${i}`);
  }
  throws(() => finish(USUAL.slice(0, -1)), /scans are missing: component 1 is incomplete after 9 scans/);
});

const BAD: readonly [title: string, scans: readonly Scan[], reason: RegExp][] = [
  ["what has been sent already", [WHOLE, WHOLE], /scan 2 does not follow/],
  ["a refinement of nothing", [[[1], 0, 63, 2, 1]], /scan 1 does not follow/],
  ["a refinement by two bits", [[[1], 0, 0, 0, 2], [[1], 0, 0, 2, 0]], /scan 2 does not follow/],
  ["a component twice", [[[1, 1], 0, 63, 0, 0]], /scan 1 does not follow/],
  ["an unknown component", [[[4], 0, 63, 0, 0]], /scan 1 has component 4, the frame has not/],
  ["no component", [[[], 0, 63, 0, 0]], /scan header of 0 components has 4 bytes/],
  ["coefficients past the end", [[[1], 0, 64, 0, 0]], /scan 1 has coefficients 0 to 64 less 0 bits/],
  ["coefficients in reverse", [[[1], 5, 4, 0, 0]], /scan 1 has coefficients 5 to 4 less 0 bits/],
  ["too large a shift", [[[1], 0, 63, 0, 14]], /scan 1 has coefficients 0 to 63 less 14 bits/],
];

for (const [title, list, reason] of BAD) {
  Deno.test(`JpegScans refuses a scan with ${title}`, () => throws(() => finish(list), reason));
}

Deno.test("JpegScans refuses headers of a wrong length, components of one name, and 101 scans", () => {
  const scans = new JpegScans(Uint8Array.of(1), SyntaxError);
  throws(() => scans.add(new Uint8Array(0)), /scan header of 0 components has 0 bytes/);
  throws(() => scans.add(Uint8Array.of(1, 1, 0, 0, 63)), /scan header of 1 components has 5 bytes/);
  throws(() => scans.add(Uint8Array.of(1, 1, 0, 0, 63, 0, 0)), /scan header of 1 components has 7 bytes/);
  throws(() => new JpegScans(Uint8Array.of(1, 2, 1), SyntaxError), /components are 1, 2, 1, wanted distinct/);
  const many = Array.from({ length: 101 }, (_, i): Scan => [[1 + Math.floor(i / 64)], i % 64, i % 64, 0, 0]);
  throws(() => finish(many), /number of scans is over 100/);
});

function finish(list: readonly Scan[]): void {
  const scans = new JpegScans(Uint8Array.of(1, 2, 3), (reason) => new SyntaxError(reason));
  for (const [components, first, last, before, after] of list) {
    const tables = components.flatMap((id) => [id, 0]);
    scans.add(Uint8Array.of(components.length, ...tables, first, last, before << 4 | after));
  }
  scans.finish();
}
