import type { Context, Row } from "../group.ts";
import { runAlone } from "../run_alone.ts";
import type { ClipCost, ClipSettings } from "../run_clip.ts";
import { summarise } from "../statistics.ts";

export const name = "scale";
export const description = "Time and memory of the bundled model against clip length, frame size and steps";

const MIB = 2 ** 20;

type Clip = Omit<ClipSettings, "repeats">;

const BASE: Clip = { frames: 4, width: 32, height: 24, steps: 1 };
const CLIPS: readonly Clip[] = [
  ...[4, 8, 16, 32].map((frames) => ({ ...BASE, frames })),
  ...[2, 4].map((factor) => ({ ...BASE, width: factor * BASE.width, height: factor * BASE.height })),
  ...[2, 4, 8].map((steps) => ({ ...BASE, steps })),
];
const QUICK_CLIPS = CLIPS.slice(0, 2);

/** Measures each clip in a process of its own. */
export async function run({ quick, progress }: Context): Promise<Row[]> {
  const rows: Row[] = [];
  for (const clip of quick ? QUICK_CLIPS : CLIPS) {
    const { frames, width, height, steps } = clip;
    const name = `${frames} frames of ${width}×${height}, ${steps === 1 ? "1 step" : `${steps} steps`}`;
    progress(name);
    const settings: ClipSettings = { ...clip, repeats: quick ? 1 : 3 };
    const { durationsMs, hostBytes, gpuBytes } = await runAlone<ClipCost>("run_clip.ts", settings);
    const timing = summarise(durationsMs);
    rows.push({
      name,
      variant: "Upscaler.upscale()",
      timing,
      figures: {
        "ms per frame": timing.medianMs / frames,
        "host MiB": hostBytes / MIB,
        "GPU MiB": gpuBytes / MIB,
      },
      note: "wall time",
    });
  }
  return rows;
}
