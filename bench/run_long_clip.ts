// Upscales one long clip of generated frames with the bundled model, keeps none, and prints the memory that was in use
// on the way as a line of JSON; a process of its own, so that nothing else is in its memory.
// Usage: run_long_clip.ts '{"frames":500,"width":16,"height":12,"every":50}'

// deno-lint-ignore-file no-console -- a command prints

import { Upscaler } from "../mod.ts";
import { signalFrame } from "../tests/vsr/_signal_frame.ts";
import { BufferMeter } from "./buffer_meter.ts";

/** A clip, and after how many units of each stage to look. */
export interface LongClip {
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly every: number;
}

/** Memory in use at a point of a stage. */
export interface MemorySample {
  readonly stage: string;
  /** Finished units of the stage. */
  readonly done: number;
  /** Memory of the process; a software adapter's GPU memory is part of it. */
  readonly hostBytes: number;
  /** Objects and buffers of JavaScript. */
  readonly heapBytes: number;
  /** Sum of all GPU buffers. */
  readonly gpuBytes: number;
  /** Since the process began. */
  readonly elapsedMs: number;
}

async function runLongClip({ frames, width, height, every }: LongClip): Promise<MemorySample[]> {
  using meter = new BufferMeter();
  using upscaler = await Upscaler.open({ model: "weights/nano", allowCpu: true });
  const samples: MemorySample[] = [];
  function look({ stage, done }: { readonly stage: string; readonly done: number }): void {
    const last = samples.at(-1);
    const since = last?.stage === stage ? done - last.done : done;
    if (since < every) return;
    const { rss, heapUsed, external } = Deno.memoryUsage();
    samples.push({
      stage,
      done,
      hostBytes: rss,
      heapBytes: heapUsed + external,
      gpuBytes: meter.bytes,
      elapsedMs: performance.now(),
    });
  }
  const clip = (function* () {
    for (let i = 0; i < frames; i++) yield signalFrame(i, { width, height });
  })();
  let count = 0;
  for await (const _frame of upscaler.upscale(clip, { onProgress: look })) count++;
  if (count !== frames) throw new Error(`Cannot measure: ${count} frames of ${frames}`);
  return samples;
}

if (import.meta.main) console.log(JSON.stringify(await runLongClip(JSON.parse(Deno.args[0]!))));
