import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { assertCheckpointGoldens } from "../../tests/golden_cases/checkpoints.ts";
import { type Layout, LAYOUTS } from "../../tools/checkpoint_layouts.ts";
import { generateCheckpoint } from "../../tools/generate_checkpoint.ts";
import type { Context, Row } from "../group.ts";
import { runAlone } from "../run_alone.ts";
import type { CheckpointCost, CheckpointRun } from "../run_checkpoint.ts";
import { summarise } from "../statistics.ts";

export const name = "checkpoints";
export const description = "Checkpoints of the published models' sizes on disk: against goldens, then a clip";

const MIB = 2 ** 20;
const CLIP = { frames: 2, width: 32, height: 32, steps: 2 };

/** A checkpoint to generate. */
interface Checkpoint {
  readonly layout: Layout;
  readonly precision: "f32" | "f16";
  readonly small: boolean;
}

/** All layouts with f16 and f32 weights, one on disk at a time; with `quick` small ones with f16. */
export async function run({ gpu, quick, progress }: Context): Promise<Row[]> {
  const rows: Row[] = [];
  for (const precision of quick ? ["f16"] as const : ["f16", "f32"] as const) {
    for (const layout of LAYOUTS) {
      rows.push(...await measure({ layout, precision, small: quick }, { gpu, progress }));
    }
  }
  return rows;
}

async function measure(
  checkpoint: Checkpoint,
  { gpu, progress }: { readonly gpu: Gpu; readonly progress: Context["progress"] },
): Promise<Row[]> {
  const { layout, precision } = checkpoint, title = `${layout} ${precision}`;
  const folder = await Deno.makeTempDir();
  try {
    progress(`${title}: generating it`);
    await generateCheckpoint(folder, { ...checkpoint, encoder: layout === "x4" });
    const model = await openModelFolder(folder);
    progress(`${title}: comparing it with goldens`);
    const cases = await assertCheckpointGoldens(gpu, model, checkpoint);
    progress(`${title}: ${CLIP.frames} frames of ${CLIP.width}×${CLIP.height}, ${CLIP.steps} steps`);
    const settings: CheckpointRun = { model: folder, precision, ...CLIP };
    const cost = await runAlone<CheckpointCost>("run_checkpoint.ts", settings);
    const sizes = [...(await model.files()).values()].map(async (path) => (await Deno.stat(path)).size);
    const diskBytes = (await Promise.all(sizes)).reduce((a, b) => a + b, 0);
    return rowsOf(title, { cost, diskBytes, cases });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function rowsOf(
  title: string,
  { cost, diskBytes, cases }: {
    readonly cost: CheckpointCost;
    readonly diskBytes: number;
    readonly cases: readonly string[];
  },
): Row[] {
  const row = (name: string, ms: number, figures: Record<string, number> = {}): Row => ({
    name: `${title}: ${name}`,
    timing: summarise([ms]),
    figures,
    note: "wall time",
  });
  const loads = Object.entries(cost.loadMs);
  const [decode, sample, before] = cost.stages.toReversed();
  const text = cost.stages.find(({ stage }) => stage === "text");
  return [
    {
      ...row("the whole run", cost.openMs + cost.clipMs, {
        "disk MiB": diskBytes / MIB,
        "GPU MiB": cost.gpuBytes / MIB,
        "planned GPU MiB": cost.plannedBytes / MIB,
        "host MiB": cost.hostBytes / MIB,
      }),
      note: `agrees with ${cases.join(", ")}; wall time; host memory holds a software adapter's GPU memory`,
    },
    row(
      "load all networks once",
      loads.reduce((sum, [, ms]) => sum + ms, 0),
      Object.fromEntries(loads.map(([part, ms]) => [`${part} ms`, ms])),
    ),
    ...text ? [row("load the text encoder and encode the prompt", text.endMs - text.beginMs)] : [],
    row("load and compile before the first frame-step", sample!.beginMs - (before?.endMs ?? 0)),
    row("frame-step", (sample!.endMs - sample!.beginMs) / sample!.units),
    row("decode a frame", (decode!.endMs - decode!.beginMs) / decode!.units),
  ];
}
