import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import type { UpscaleCommand } from "../../src/cli/arguments.ts";
import { BUNDLED } from "../../src/cli/bundled.ts";
import { type CliEvent, Reporter } from "../../src/cli/progress.ts";
import { upscale } from "../../src/cli/upscale.ts";
import { withRestarts } from "../../src/cli/with_restarts.ts";
import { GpuError } from "../../src/gpu/errors.ts";
import { type Faults, injectFaults } from "../../src/gpu/faults.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { makeClip } from "./make_clip.ts";

const SIGNAL = new AbortController().signal;

/** A reporter and the events that were given to it; `onEvent` hears each as it comes. */
function listen(onEvent?: (event: CliEvent) => void): { reporter: Reporter; events: CliEvent[] } {
  const events: CliEvent[] = [];
  function write(text: string): void {
    const event = JSON.parse(text);
    events.push(event);
    onEvent?.(event);
  }
  return { reporter: new Reporter("json", { write, now: () => performance.now() }), events };
}

/** Work that fails as `errors` say, one after the other, and then succeeds; counts its calls. */
function failing(errors: readonly Error[]): { work: () => Promise<void>; calls: () => number } {
  let calls = 0;
  return {
    work: () => calls < errors.length ? Promise.reject(errors[calls++]) : Promise.resolve(void calls++),
    calls: () => calls,
  };
}

const KINDS = ["lost", "out-of-memory", "internal"] as const;
const PASSING = KINDS.map((kind) => new GpuError(kind, `Cannot go on: ${kind}`));

Deno.test("withRestarts() tries again three times where the GPU may recover, and says so each time", async () => {
  const { reporter, events } = listen();
  const { work, calls } = failing(PASSING);
  await withRestarts(work, { reporter, signal: SIGNAL });
  strictEqual(calls(), 4);
  deepStrictEqual(
    events,
    PASSING.map(({ message }, i) => ({ event: "restart", restart: i + 1, restarts: 3, message })),
  );
});

Deno.test("withRestarts() gives up after the third restart, with the error", async () => {
  const last = new GpuError("lost", "x");
  const { work, calls } = failing([...PASSING, last]);
  await rejects(withRestarts(work, { ...listen(), signal: SIGNAL }), (error) => error === last);
  strictEqual(calls(), 4);
});

for (const error of [new GpuError("validation", "x"), new RangeError("x")]) {
  Deno.test(`withRestarts() does not try again after ${error.name} (${"kind" in error ? error.kind : ""})`, async () => {
    const { work, calls } = failing([error]);
    await rejects(withRestarts(work, { ...listen(), signal: SIGNAL }), (thrown) => thrown === error);
    strictEqual(calls(), 1);
  });
}

Deno.test("withRestarts() does not try again after a signal", async () => {
  const { work, calls } = failing(PASSING);
  await rejects(withRestarts(work, { ...listen(), signal: AbortSignal.abort() }), PASSING[0]!);
  strictEqual(calls(), 1);
});

/** Upscales two frames in this thread, with `faults` once decoding begins; returns what was reported and written. */
async function run(
  dir: string,
  { output, faults = null }: { readonly output: string; readonly faults?: Faults | null },
): Promise<{ events: CliEvent[]; frames: Uint8Array[] }> {
  let isInjected = false;
  const { reporter, events } = listen((event) => {
    if (isInjected || event.event !== "progress" || event.stage !== "decode") return;
    isInjected = true;
    injectFaults(faults);
  });
  const command: UpscaleCommand = {
    command: "upscale",
    input: join(dir, "in"),
    output: join(dir, output),
    model: BUNDLED.model,
    flow: undefined,
    temporal: undefined,
    steps: 2,
    scheduler: undefined,
    prompt: undefined,
    negativePrompt: undefined,
    guidanceScale: undefined,
    noiseLevel: undefined,
    seed: 42,
    conditioningScale: undefined,
    device: undefined,
    precision: "f32",
    tuning: "off",
    maxGpuMemory: undefined,
    vaeTiling: false,
    allowCpu: true,
    progress: "json",
    quiet: false,
    overwrite: false,
    noResume: false,
  };
  await upscale(command, { reporter, signal: SIGNAL });
  const names = ["frame_0001.png", "frame_0002.png"];
  return {
    events,
    frames: await Promise.all(names.map((name) => Deno.readFile(join(command.output, name)))),
  };
}

Deno.test("upscale goes on from the last checkpoint when the device is lost, with the same bytes", () =>
  withTempDir(async (dir) => {
    await makeClip(join(dir, "in"), { width: 8, height: 8, count: 2 });
    try {
      const whole = await run(dir, { output: "whole" });
      const broken = await run(dir, { output: "broken", faults: { destroyAtSubmit: 1 } });
      deepStrictEqual(broken.frames, whole.frames);
      const restarts = broken.events.filter(({ event }) => event === "restart" || event === "resumed");
      strictEqual(restarts.map(({ event }) => event).join(), "restart,resumed");
      deepStrictEqual(restarts[1], { event: "resumed", flow_pairs: 1, frame_steps: 4, frames: 0 });
      const files = [...Deno.readDirSync(join(dir, "broken"))].map(({ name }) => name).sort();
      deepStrictEqual(files, ["frame_0001.png", "frame_0002.png"]);

      const faults = { destroyAtSubmit: 1, repeated: true };
      await rejects(run(dir, { output: "lost", faults }), { name: "GpuError", kind: "lost" });
      strictEqual((await Deno.lstat(join(dir, "lost", ".dgaf-vsr-job", "manifest.json"))).isFile, true);
    } finally {
      injectFaults(null);
    }
  }));
