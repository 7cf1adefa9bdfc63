import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };
import type { ProgressEvent } from "../src/cli/progress.ts";
import type { Context, Row } from "./group.ts";
import { summarise } from "./statistics.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const RUNS = 3;

/** When a run came to what, in milliseconds since its process was started. */
interface Milestones {
  readonly flowBegins: number;
  readonly flowEnds: number;
  readonly sampleBegins: number;
  readonly sampleEnds: number;
  readonly exit: number;
}

/** Wall time of the command line on the demo clip with the bundled model, from the start of the process. */
export async function timeDemo({ quick, progress }: Pick<Context, "quick" | "progress">): Promise<Row[]> {
  progress("the demo clip from process start to exit");
  const runs: Milestones[] = [];
  for (let i = 0; i < (quick ? 1 : RUNS); i++) runs.push(await runDemo());
  const row = (name: string, duration: (at: Milestones) => number): Row => ({
    name: `demo clip: ${name}`,
    variant: "deno task upscale",
    timing: summarise(runs.map(duration)),
    note: "wall time",
  });
  return [
    row("process start to first frame-step submitted", (at) => at.sampleBegins),
    row("process start to optical flow", (at) => at.flowBegins),
    row("optical flow", (at) => at.flowEnds - at.flowBegins),
    row("preparing to sample", (at) => at.sampleBegins - at.flowEnds),
    row("sampling", (at) => at.sampleEnds - at.sampleBegins),
    row("preparing to decode, decoding, writing", (at) => at.exit - at.sampleEnds),
    row("process start to exit", (at) => at.exit),
  ];
}

async function runDemo(): Promise<Milestones> {
  const output = await Deno.makeTempDir();
  try {
    const start = performance.now();
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...config.tasks.upscale.command.split(" ").slice(1),
        ...["--input", "demo/frames", "--output", output],
        ...["--overwrite", "--allow-cpu", "--progress", "json"],
      ],
      cwd: ROOT,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const seen = new Map<string, { first: number; last: number }>();
    let lines = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      const now = performance.now() - start;
      lines += text;
      for (const stage of finishedStages(lines)) {
        seen.set(stage, { first: seen.get(stage)?.first ?? now, last: now });
      }
      lines = lines.slice(lines.lastIndexOf("\n") + 1);
    }
    const { code } = await child.status;
    const flow = seen.get("flow"), sample = seen.get("sample");
    if (code !== 0 || !flow || !sample) throw new Error(`Cannot time the demo clip: exit code ${code}`);
    return {
      flowBegins: flow.first,
      flowEnds: flow.last,
      sampleBegins: sample.first,
      sampleEnds: sample.last,
      exit: performance.now() - start,
    };
  } finally {
    await Deno.remove(output, { recursive: true });
  }
}

/** Stages of the progress events on the complete lines. */
function finishedStages(lines: string): ProgressEvent["stage"][] {
  return lines.split("\n").slice(0, -1).flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const event = JSON.parse(line);
    return event.event === "progress" ? [event.stage] : [];
  });
}
