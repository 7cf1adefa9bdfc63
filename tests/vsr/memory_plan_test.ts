import assert from "node:assert/strict";
import { BufferMeter } from "../../bench/buffer_meter.ts";
import type { UpscaleOptions } from "../../src/vsr/clip_settings.ts";
import type { JobStore } from "../../src/vsr/job_store.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { signalFrame } from "./_signal_frame.ts";
import { withStableVSR } from "./_stablevsr_folder.ts";
import { addEncoder, withEncoderInstead } from "./_text_encoder_folder.ts";
import { trackNetworks } from "./_track_networks.ts";
import { withX4 } from "./_x4_folder.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;

/** A job that is told all and keeps nothing: results are read back as for one that does. */
const JOB: JobStore = {
  due: false,
  isDone: () => false,
  list: () => [],
  load: () => Promise.resolve(null),
  save: async (_, { values }) => void await Array.fromAsync(values),
  remove: () => Promise.resolve(),
};

interface Clip {
  readonly width: number;
  readonly height: number;
  readonly bitDepths: readonly (8 | 16)[];
}

/** Of the bundled model. */
let shared: Upscaler | null = null;

Deno.test.afterAll(() => {
  shared?.close();
  shared = null;
});

for (
  const [name, clip] of Object.entries(
    {
      "three frames": { width: 20, height: 14, bitDepths: [8, 8, 8] },
      "one frame": { width: 20, height: 14, bitDepths: [8] },
      "a larger pair of 16 bits": { width: 33, height: 28, bitDepths: [16, 16] },
      "two bit depths": { width: 20, height: 14, bitDepths: [8, 16] },
    } as const,
  )
) {
  Deno.test(`Upscaler.plan() tells the peak of upscale() within 1 %, and never too little: ${name}`, async () => {
    await assertPlannedBy(shared ??= await Upscaler.open({ model: MODEL, allowCpu: true }), clip);
  });
}

Deno.test("Upscaler.plan() tells the peak of a StableVSR model, which decodes while it samples", () =>
  withStableVSR((model) => assertPlanned(model, { width: 20, height: 14, bitDepths: [8, 8, 8] })));

Deno.test("Upscaler.plan() tells the peak of an x4-upscaler, which adds noise to its frames", () =>
  withX4((model) => assertPlanned(model, { width: 20, height: 14, bitDepths: [8, 8] })));

Deno.test("Upscaler.plan() plans a clip once, and anew where clip or steps are others", async () => {
  using upscaler = await Upscaler.open({ model: MODEL, allowCpu: true });
  const clip = { width: 20, height: 14, bitDepths: [8, 8] as const };
  const plan = await upscaler.plan(clip);
  assert.equal(await upscaler.plan({ ...clip }), plan);
  const two = await upscaler.plan(clip, { steps: 2 });
  assert.ok(
    two.stages.find(({ stage }) => stage === "sample")!.flops >
      plan.stages.find(({ stage }) => stage === "sample")!.flops,
  );
  assert.ok((await upscaler.plan({ ...clip, width: 40 })).peakBytes > plan.peakBytes);
});

const TEXT = { prompt: "a photo of a cat", negativePrompt: "blurred", guidanceScale: 3 };

Deno.test("Upscaler.plan() tells the peak where text guides, and of the text encoder before", () =>
  withEncoderInstead(async (model) => {
    await assertPlanned(model, { width: 20, height: 14, bitDepths: [8, 8, 8] }, {
      text: TEXT,
      networks: ["text_encoder", "flow", "unet", "dgafnet unet", "vae"],
    });
    using upscaler = await Upscaler.open({ model, allowCpu: true });
    const clip = { width: 20, height: 14, bitDepths: [8, 8] as const };
    const [guided, unguided] = [await upscaler.plan(clip, TEXT), await upscaler.plan(clip)];
    assert.deepEqual([guided.text.encoded, unguided.text.encoded], [2, 1]);
    const [text, , sample] = guided.stages, [alone, , less] = unguided.stages;
    assert.ok(text!.total > alone!.total && sample!.total > less!.total && sample!.flops > 1.4 * less!.flops);
    assert.deepEqual(await upscaler.plan(clip, { ...TEXT, negativePrompt: TEXT.prompt }), unguided);
  }));

Deno.test("Upscaler.plan() tells the peak of a StableVSR model where text guides", () =>
  withStableVSR(async (model) => {
    await addEncoder(model);
    await assertPlanned(model, { width: 20, height: 14, bitDepths: [8, 8] }, {
      text: { ...TEXT, negativePrompt: "" },
      networks: ["text_encoder", "flow", "unet", "controlnet unet", "controlnet unet vae"],
    });
  }));

interface PlannedOptions {
  readonly text?: UpscaleOptions;
  /** Which networks have weights on the GPU together, one set after the other. */
  readonly networks?: readonly string[];
}

async function assertPlanned(model: string, clip: Clip, options: PlannedOptions = {}): Promise<void> {
  using upscaler = await Upscaler.open({ model, allowCpu: true });
  await assertPlannedBy(upscaler, clip, options);
}

async function assertPlannedBy(
  upscaler: Upscaler,
  { width, height, bitDepths }: Clip,
  { text = {}, networks }: PlannedOptions = {},
): Promise<void> {
  using tracked = trackNetworks();
  using meter = new BufferMeter();
  const plan = await upscaler.plan({ width, height, bitDepths }, { ...text, steps: 2 });
  assert.equal(meter.peakBytes, 0, "planning allocates");
  const frames = bitDepths.map((bitDepth, i) => signalFrame(i, { width, height, bitDepth }));
  const peaks = new Map<string, number>();
  let done = "";
  let liveBytes = 0;
  const onProgress = ({ stage }: { stage: string }) => {
    peaks.set(done = stage, meter.peakBytes);
    liveBytes = meter.bytes;
  };
  assert.equal(
    (await Array.fromAsync(upscaler.upscale(frames, { ...text, steps: 2, onProgress, job: JOB }))).length,
    frames.length,
  );
  assert.equal(done, "decode");
  assert.deepEqual([...peaks.keys()], plan.stages.map(({ stage }) => stage));
  const decoding = plan.stages.at(-1)!.total;
  assert.ok(
    liveBytes <= decoding && liveBytes >= 0.98 * decoding,
    `${liveBytes} of ${decoding} planned bytes when all is decoded`,
  );
  let planned = 0;
  for (const { stage, total } of plan.stages) {
    planned = Math.max(planned, total); // the meter keeps the largest so far
    const actual = peaks.get(stage)!;
    assert.ok(
      actual <= planned && actual >= 0.99 * planned,
      `${stage}: ${actual} of ${planned} planned bytes`,
    );
  }
  assert.equal(plan.peakBytes, planned);
  if (networks) assert.deepEqual(tracked.together, networks);
}
