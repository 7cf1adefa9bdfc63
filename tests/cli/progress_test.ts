import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { formatDuration, Reporter, type ReportMode } from "../../src/cli/progress.ts";
import type { Progress } from "../../src/vsr/progress.ts";

/** Reports (milliseconds, progress) to a reporter with a clock of its own; returns what it writes. */
function replay(mode: ReportMode, reports: readonly [at: number, progress: Progress][]): string[] {
  const written: string[] = [];
  let time = 0;
  const reporter = new Reporter(mode, { write: (text) => written.push(text), now: () => time });
  for (const [at, progress] of reports) {
    time = at;
    reporter.progress(progress);
  }
  reporter.report({ event: "done", frames: 1, elapsed_ms: 61_250, output: "out\x1b" });
  return written;
}

const DONE = "Wrote 1 frame in 61.3 s to out\\u{1b}\n";
const RUN: readonly [number, Progress][] = [
  [0, { stage: "sample", done: 0, total: 4 }],
  [20, { stage: "sample", done: 1, total: 4 }],
  [6000, { stage: "sample", done: 2, total: 4 }],
  [7000, { stage: "sample", done: 3, total: 4 }],
  [8000, { stage: "sample", done: 4, total: 4 }],
  [8000, { stage: "sample", done: 4, total: 4 }],
  [8001, { stage: "decode", done: 1, total: 1 }],
];

Deno.test("Reporter.progress() writes few lines, but the first and last of each stage", () => {
  deepStrictEqual(replay("lines", RUN), [
    "sample [------------------------] 0 of 4 frame-steps\n",
    "sample [############------------] 2 of 4 frame-steps, 0:06 left\n",
    "sample [########################] 4 of 4 frame-steps\n",
    "decode [########################] 1 of 1 frames\n",
    DONE,
  ]);
});

Deno.test("Reporter.progress() redraws one line as bar and ends it before other text", () => {
  deepStrictEqual(replay("bar", RUN.slice(0, 3)), [
    "\rsample [------------------------] 0 of 4 frame-steps\x1b[K",
    "\rsample [############------------] 2 of 4 frame-steps, 0:06 left\x1b[K",
    "\n",
    DONE,
  ]);
});

Deno.test("Reporter writes one JSON object per line with numbers as numbers", () => {
  const lines = replay("json", RUN.slice(1, 4));
  deepStrictEqual(lines.map((line) => JSON.parse(line)), [
    { event: "progress", stage: "sample", done: 1, total: 4, elapsed_ms: 20, eta_ms: null },
    { event: "progress", stage: "sample", done: 2, total: 4, elapsed_ms: 6000, eta_ms: 11960 },
    { event: "progress", stage: "sample", done: 3, total: 4, elapsed_ms: 7000, eta_ms: 3490 },
    { event: "done", frames: 1, elapsed_ms: 61250, output: "out\x1b" },
  ]);
  strictEqual(lines.every((line) => line.endsWith("}\n")), true);
});

Deno.test("Reporter hides progress on none and everything but errors on quiet", () => {
  deepStrictEqual(replay("none", RUN), [DONE]);
  deepStrictEqual(replay("quiet", RUN), []);
  const written: string[] = [];
  const reporter = new Reporter("quiet", { write: (text) => written.push(text), now: () => 0 });
  reporter.report({ event: "error", exit_code: 70, message: "x" });
  deepStrictEqual(written, ["Error: x\n"]);
});

Deno.test("Reporter says what is done about memory, with a limit and without one", () => {
  const written: string[] = [];
  const reporter = new Reporter("lines", { write: (text) => written.push(text), now: () => 0 });
  const measures = ["bands of 4 MiB", "f16 weights"];
  for (const limit_bytes of [3e9, null]) {
    reporter.report({ event: "memory", peak_bytes: 2e9, limit_bytes, measures });
  }
  deepStrictEqual(written, [
    "GPU memory: 2 GB of 3 GB allowed, bands of 4 MiB, f16 weights\n",
    "GPU memory: 2 GB, bands of 4 MiB, f16 weights\n",
  ]);
});

Deno.test("formatDuration() rounds up to seconds and shows hours when there are some", () => {
  deepStrictEqual([0, 1, 59_001, 3_599_000, 3_600_000, 36_061_000].map(formatDuration), [
    "0:00",
    "0:01",
    "1:00",
    "59:59",
    "1:00:00",
    "10:01:01",
  ]);
});

for (
  const [event, line] of [
    [
      { event: "resumed", flow_pairs: 1, frame_steps: 12, frames: 0 },
      "Resumed: 1 frame pair, 12 frame-steps and 0 frames were done before\n",
    ],
    [
      { event: "restart", restart: 2, restarts: 3, message: "Cannot go on: GPU device lost" },
      "Restart 2 of 3: Cannot go on: GPU device lost\n",
    ],
  ] as const
) {
  Deno.test(`Reporter.report() tells people of "${event.event}"`, () => {
    const written: string[] = [];
    new Reporter("lines", { write: (text) => written.push(text), now: () => 0 }).report(event);
    deepStrictEqual(written, [line]);
  });
}
