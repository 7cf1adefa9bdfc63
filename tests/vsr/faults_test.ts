import assert from "node:assert/strict";
import { injectFaults } from "../../src/gpu/faults.ts";
import { fillMemory } from "../../src/gpu/texture.ts";
import type { Frame } from "../../src/media/frame.ts";
import type { Progress } from "../../src/vsr/progress.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { withTimeLimit } from "../_time_limit.ts";
import { signalFrame } from "./_signal_frame.ts";
import { trackBuffers } from "./_track_buffers.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;
const CLIP = [0, 1, 2].map((i) => signalFrame(i, { width: 12, height: 10 }));
const STEPS = 2;
const STAGES = ["flow", "sample", "decode"] as const;
/** Far more than a run takes: what hangs must fail and not stop the tests. */
const LIMIT_S = 120;

interface Options {
  /** Null for one whose device nothing else uses. */
  readonly upscaler?: Upscaler | null;
  readonly onProgress?: (progress: Progress) => void;
}

let shared: Upscaler | null = null;
let good: { readonly frames: readonly Frame[]; readonly allocations: number } | null = null;

function open(precision: "f32" | "f16" = "f32"): Promise<Upscaler> {
  return Upscaler.open({ model: MODEL, allowCpu: true, precision });
}

Deno.test.afterAll(() => {
  shared?.close();
  shared = null;
});

/** Upscales the clip and puts the frames that come out into `frames`. */
async function run(frames: Frame[], { upscaler = null, onProgress }: Options = {}): Promise<void> {
  using own = upscaler ? null : await open();
  for await (const frame of (upscaler ?? own)!.upscale(CLIP, { steps: STEPS, onProgress })) {
    frames.push(frame);
  }
}

/** What comes out of a run without faults, and how many buffers it makes. */
async function goodRun(): Promise<NonNullable<typeof good>> {
  if (good) return good;
  const frames: Frame[] = [], counts = injectFaults({});
  await run(frames);
  injectFaults(null);
  return good = { frames, allocations: counts.allocations };
}

/** Fails unless a run ends in an error like `expected`, with no frames but those of a good run before it. */
async function assertFails(options: Options, expected: { kind: string; message: RegExp }): Promise<void> {
  const { frames } = await goodRun(), got: Frame[] = [];
  try {
    await assert.rejects(withTimeLimit(run(got, options), LIMIT_S), { name: "GpuError", ...expected });
  } finally {
    injectFaults(null);
  }
  assert.deepEqual(got, frames.slice(0, got.length));
  assert.ok(got.length < frames.length, "all frames came out");
}

const DOING = {
  flow: /^Cannot (compute the flows of frame [0-2]|read back "finite flows" of 16 bytes): GPU device lost /,
  sample:
    /^Cannot (prepare a plan|draw the noise of frame 0|compute step [01] of frame [0-2]|read back "finite frame-steps" of 16 bytes): GPU device lost /,
  decode:
    /^Cannot (prepare a plan|decode frame [0-2]|read back "(check|pack) frame" of \d+ bytes): GPU device lost /,
};

for (const stage of STAGES) {
  for (const destroyAtSubmit of [1, 5]) {
    Deno.test(`Upscaler.upscale() tells of a device lost at submit ${destroyAtSubmit} of ${stage}`, async () => {
      let reports = 0;
      const onProgress = (progress: Progress) => {
        if (progress.stage === stage && ++reports === 1) injectFaults({ destroyAtSubmit });
      };
      await assertFails({ onProgress }, { kind: "lost", message: DOING[stage] });
    });
  }
}

Deno.test("Upscaler.upscale() tells of a device lost while it takes the frames", async () => {
  await goodRun();
  injectFaults({ destroyAtSubmit: 1 });
  await assertFails({}, { kind: "lost", message: /^Cannot .*: GPU device lost / });
});

for (const part of [0, 0.1, 0.5, 0.87, 0.99]) {
  Deno.test(`Upscaler.upscale() names what there was no memory for, after ${part} of all buffers`, async () => {
    const { allocations } = await goodRun();
    injectFaults({ failAllocation: 1 + Math.floor(part * allocations) });
    await assertFails({}, {
      kind: "out-of-memory",
      message:
        /^Cannot allocate "[a-z][^"]*" of [1-9]\d* bytes: out-of-memory error: injected fault\. Close other programs/,
    });
  });
}

/** Lets the live buffers of that label be full of NaN for all that is submitted from now on. */
function poison(
  buffers: ReadonlySet<GPUBuffer | GPUTexture>,
  { device, label }: { device: GPUDevice; label: string },
): void {
  const found = [...buffers].filter((buffer) => buffer.label === label);
  assert.ok(found.length > 0, `no buffer "${label}"`);
  for (const buffer of found) fillMemory(device, buffer, 0x7fc00000);
}

/** The device of the run under way, seen when it makes its first buffer. */
function watchDevice(): Disposable & { device: GPUDevice | null } {
  const { createCommandEncoder } = GPUDevice.prototype;
  const watch = {
    device: null as GPUDevice | null,
    [Symbol.dispose]: () => void (GPUDevice.prototype.createCommandEncoder = createCommandEncoder),
  };
  GPUDevice.prototype.createCommandEncoder = function (descriptor) {
    watch.device = this;
    return createCommandEncoder.call(this, descriptor);
  };
  return watch;
}

/** Runs with NaN in buffers `label` from the `report`-th report of `stage` on; the clock stands, so waits are few. */
async function poisonedRun(
  upscaler: Upscaler,
  { stage, report, label }: { stage: string; report: number; label: string },
): Promise<{ error: Error; frames: Frame[] }> {
  using buffers = trackBuffers();
  using watch = watchDevice();
  const { now } = performance;
  const frames: Frame[] = [];
  let reports = 0;
  const onProgress = (progress: Progress) => {
    if (progress.stage === stage && ++reports === report) {
      poison(buffers.live, { device: watch.device!, label });
    }
  };
  performance.now = () => 0;
  try {
    await withTimeLimit(run(frames, { upscaler, onProgress }), LIMIT_S);
    throw new assert.AssertionError({ message: "the run succeeded" });
  } catch (error) {
    assert.ok(error instanceof Error);
    return { error, frames };
  } finally {
    performance.now = now;
  }
}

const FROM_WEIGHTS = "The model's weights or the GPU driver are at fault: ";
const POISONED: {
  stage: string;
  report: number;
  label: string;
  what: string;
  layer: string;
  input?: string;
}[] = [
  {
    stage: "flow",
    report: 1,
    label: "flow.feature_encoder.conv.bias",
    what: "compute the flow of frame 1",
    layer: "flow.feature_encoder.conv",
  },
  {
    // The second report comes when the flows between the first two frames are on their way.
    stage: "flow",
    report: 2,
    label: "flow.update_block.flow_head.conv2.bias",
    what: "compute the flow of frame 2",
    layer: "flow.update_block.flow_head.conv2",
  },
  {
    stage: "sample",
    report: 1,
    label: "unet.conv_in.bias",
    what: "compute step 0 of frame 0",
    layer: "unet.conv_in",
  },
  {
    stage: "sample",
    report: 3,
    label: "dgafnet.mid_block.resnets.0.conv1.bias",
    what: "compute step 0 of frame 2",
    layer: "dgafnet.mid_block.resnets.0.conv1",
  },
  {
    // Frames are visited backwards in the second step, and two more frame-steps are queued before anybody looks.
    stage: "sample",
    report: 4,
    label: "unet.mid_block.attentions.0.proj_out.bias",
    what: "compute step 1 of frame 2",
    layer: "unet.mid_block.attentions.0.proj_out",
  },
  {
    stage: "sample",
    report: 5,
    label: "clean estimate",
    what: "compute step 1 of frame 1",
    layer: "ogwm",
  },
  {
    stage: "decode",
    report: 1,
    label: "vae.decoder.conv_in.bias",
    what: "decode frame 0",
    layer: "vae.decoder.conv_in",
  },
  {
    // While the second report is made, the second frame is on its way already.
    stage: "decode",
    report: 2,
    label: "latent 2",
    what: "decode frame 2",
    layer: "unscale latent",
    input: "latent to decode",
  },
];
for (const { stage, report, label, what, layer, input = label } of POISONED) {
  Deno.test(`Upscaler.upscale() says which layer made NaN of "${label}": ${what}`, async () => {
    const { error, frames } = await poisonedRun(shared ??= await open(), { stage, report, label });
    assert.equal(error.name, "NonFiniteError", error.stack);
    const start = `Cannot ${what}: "${layer}" (`;
    assert.equal(error.message.slice(0, start.length), start);
    const end = `; its input "${input}" is not finite already. ${FROM_WEIGHTS}`;
    assert.ok(error.message.includes(end), error.message);
    const goodFrames = (await goodRun()).frames;
    assert.deepEqual(frames, goodFrames.slice(0, frames.length));
    assert.equal(frames.length, stage === "decode" ? 2 * (report - 1) : 0);
  });
}

Deno.test("Upscaler.upscale() advises f32 where weights are stored as f16", async () => {
  using upscaler = await open("f16");
  const { error } = await poisonedRun(upscaler, { stage: "sample", report: 1, label: "unet.conv_in.weight" });
  assert.match(
    error.message,
    /^Cannot compute step 0 of frame 0: "unet\.conv_in" .*; its input "unet\.conv_in\.weight" .*\. Pass --precision f32$/,
  );
});

Deno.test("Upscaler.upscale() does not succeed where an error went unnoticed at the very end", async () => {
  using upscaler = await open();
  using watch = watchDevice();
  const frames: Frame[] = [];
  const onProgress = ({ stage, done, total }: Progress) => {
    if (stage !== "decode" || done < total) return;
    watch.device!.createBuffer({ size: 16, usage: 0xffff, label: "no such usage" });
  };
  await assert.rejects(run(frames, { upscaler, onProgress }), { name: "GpuError", kind: "validation" });
  assert.deepEqual(frames, (await goodRun()).frames);
});
