// Upscales one clip of generated frames with the bundled model and prints what it took as a line of JSON; a process
// of its own, so that nothing but this clip is in its memory.
// Usage: run_clip.ts '{"frames":4,"width":32,"height":24,"steps":1,"repeats":3}'

// deno-lint-ignore-file no-console -- a command prints

import { Upscaler } from "../mod.ts";
import { signalFrame } from "../tests/vsr/_signal_frame.ts";
import { BufferMeter } from "./buffer_meter.ts";

/** A clip to measure. */
export interface ClipSettings {
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly repeats: number;
}

/** What it took. */
export interface ClipCost {
  /** Wall time of each repeat; two frames are upscaled before, to compile and warm up. */
  readonly durationsMs: number[];
  /** Largest memory of the process seen at a progress report; a software adapter's GPU memory is part of it. */
  readonly hostBytes: number;
  /** Largest sum of all GPU buffers. */
  readonly gpuBytes: number;
}

async function runClip({ frames, width, height, steps, repeats }: ClipSettings): Promise<ClipCost> {
  using meter = new BufferMeter();
  using upscaler = await Upscaler.open({ model: "weights/nano", allowCpu: true });
  const clip = Array.from({ length: frames }, (_, i) => signalFrame(i, { width, height }));
  const durationsMs: number[] = [];
  let hostBytes = 0;
  const onProgress = () => {
    hostBytes = Math.max(hostBytes, Deno.memoryUsage().rss);
  };
  await Array.fromAsync(upscaler.upscale(clip.slice(0, 2), { steps, onProgress }));
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    const upscaled = await Array.fromAsync(upscaler.upscale(clip, { steps, onProgress }));
    durationsMs.push(performance.now() - start);
    if (upscaled.length !== frames) throw new Error(`Cannot measure: ${upscaled.length} frames of ${frames}`);
  }
  return { durationsMs, hostBytes, gpuBytes: meter.peakBytes };
}

if (import.meta.main) console.log(JSON.stringify(await runClip(JSON.parse(Deno.args[0]!))));
