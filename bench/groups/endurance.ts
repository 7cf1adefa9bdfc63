import type { Context, Row } from "../group.ts";
import { runAlone } from "../run_alone.ts";
import type { LongClip, MemorySample } from "../run_long_clip.ts";
import { summarise } from "../statistics.ts";

export const name = "endurance";
export const description =
  "Memory of the bundled model on a long clip, which must not grow with what is done";

const MIB = 2 ** 20;
const LONG: LongClip = { frames: 500, width: 16, height: 12, every: 50 };
const QUICK: LongClip = { ...LONG, frames: 20, every: 5 };

/** One row per look at the memory; `timing` is that of the units since the look before in the same stage. */
export async function run({ quick, progress }: Context): Promise<Row[]> {
  const clip = quick ? QUICK : LONG;
  progress(`${clip.frames} frames of ${clip.width}×${clip.height}`);
  const samples = await runAlone<MemorySample[]>("run_long_clip.ts", clip);
  return samples.map(({ stage, done, hostBytes, heapBytes, gpuBytes, elapsedMs }, i) => {
    const before = samples[i - 1]?.stage === stage ? samples[i - 1] : undefined;
    const first = samples.find((sample) => sample.stage === stage)!;
    return {
      name: `${stage}, ${done} done`,
      timing: summarise([before ? elapsedMs - before.elapsedMs : elapsedMs]),
      figures: {
        "host MiB": hostBytes / MIB,
        "since the first look": (hostBytes - first.hostBytes) / MIB,
        "JavaScript MiB": heapBytes / MIB,
        "GPU MiB": gpuBytes / MIB,
      },
      note: before ? "wall time since the look before" : "wall time since the process began",
    };
  });
}
