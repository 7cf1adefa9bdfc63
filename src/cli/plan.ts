// deno-lint-ignore-file no-console -- a command prints

import { resolve } from "node:path";
import { modelName } from "../hub/cache.ts";
import { inspectFrames, listFrames } from "../media/frame_folder.ts";
import { formatByteSize } from "../text/byte_size.ts";
import { escapeName } from "../text/escape_name.ts";
import type { StageTime } from "../vsr/estimate_time.ts";
import type { FittedPlan } from "../vsr/memory_limit.ts";
import type { StageMemory } from "../vsr/memory_plan.ts";
import { UPSCALE_FACTOR, Upscaler } from "../vsr/upscaler.ts";
import type { PlanCommand } from "./arguments.ts";
import { describeBackend } from "./environment.ts";
import { count, formatDuration } from "./progress.ts";
import { checkedSettings } from "./upscale.ts";

/** Rows of the table of GPU memory. */
const PURPOSES = {
  weights: "weights",
  derived: "transformed filters",
  plans: "activations",
  inputs: "inputs of a step",
  frames: "frames",
  flows: "flows",
  latents: "latents",
  readBack: "read back",
  total: "all",
} as const satisfies Partial<Record<keyof StageMemory, string>>;
const NAME_WIDTH = 20, COLUMN_WIDTH = 11;

/** Prints what upscaling a clip would take: GPU memory by stage and purpose, host memory, disk space and time. */
export async function plan(command: PlanCommand): Promise<void> {
  const { input, model, flow, temporal, device, allowCpu, precision, maxGpuMemory, vaeTiling } = command;
  const summary = inspectFrames((await listFrames(input)).files);
  const memory = { precision, maxGpuMemory, vaeTiling };
  using upscaler = await Upscaler.open({
    model,
    flow,
    temporal,
    allowCpu,
    ...memory,
    ...(device ? { device } : {}),
  });
  const settings = checkedSettings(upscaler, command);
  const fitted = await upscaler.plan(summary, settings);

  const { width, height, bitDepths } = summary;
  const { description, software } = upscaler.adapter;
  const size = `${width} x ${height} to ${UPSCALE_FACTOR * width} x ${UPSCALE_FACTOR * height}`;
  console.log(
    `${count(bitDepths.length, "frame")} of ${size}, ${count(settings.steps, "step")}, model ${
      escapeName(modelName(resolve(model)))
    }`,
  );
  console.log(
    `${escapeName(description)}, ${describeBackend()}, ${software ? "software" : "hardware"} adapter\n`,
  );
  printGpuMemory(fitted, maxGpuMemory);
  row("Host memory", `about ${formatByteSize(fitted.hostBytes)}, besides Deno and the GPU driver`);
  const { frames, state } = upscaler.diskNeed(summary);
  row(
    "Disk",
    `at most ${formatByteSize(frames)} for the PNG files, ${formatByteSize(state)} until all are written`,
  );
  printTime(await upscaler.estimateTime(summary, fitted));
}

function printGpuMemory({ stages, peakBytes, measures }: FittedPlan, limit: number | undefined): void {
  const cells = (values: readonly string[]) => values.map((value) => value.padStart(COLUMN_WIDTH)).join("");
  console.log("GPU memory".padEnd(NAME_WIDTH) + cells(stages.map(({ stage }) => stage)));
  for (const [purpose, name] of Object.entries(PURPOSES)) {
    const sizes = stages.map((stage) => stage[purpose as keyof typeof PURPOSES]);
    console.log(`  ${name}`.padEnd(NAME_WIDTH) + cells(sizes.map(formatByteSize)));
  }
  console.log();
  const allowed = limit === undefined ? "" : ` of ${formatByteSize(limit)} allowed`;
  row("GPU memory, peak", `${formatByteSize(peakBytes)}${allowed}`);
  if (measures.length > 0) row("To fit", measures.join(", "));
}

function printTime(times: readonly StageTime[]): void {
  const all = times.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const stages = times.map(({ stage, durationMs }) => `${stage} ${formatDuration(durationMs)}`).join(", ");
  row("Time", `about ${formatDuration(all)}: ${stages}`);
  console.log(
    `${
      "".padEnd(NAME_WIDTH)
    }by a trial of each stage on small frames; rough, from half to twice is to be expected,\n` +
      `${"".padEnd(NAME_WIDTH)}and loading weights and compiling shaders come on top`,
  );
}

function row(name: string, value: string): void {
  console.log(`${name.padEnd(NAME_WIDTH)}${value}`);
}
