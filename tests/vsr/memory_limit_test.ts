import assert from "node:assert/strict";
import { BufferMeter } from "../../bench/buffer_meter.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { Gpu } from "../../src/gpu/device.ts";
import { LimitError } from "../../src/gpu/errors.ts";
import type { Frame } from "../../src/media/frame.ts";
import { fitMemory, type FittedPlan, type MemoryWishes } from "../../src/vsr/memory_limit.ts";
import { type ClipOutline, planMemory } from "../../src/vsr/memory_plan.ts";
import { parseByteSize } from "../../src/text/byte_size.ts";
import { openOutline } from "../../src/vsr/networks.ts";
import { Upscaler, type UpscalerOptions } from "../../src/vsr/upscaler.ts";
import { gpuTest } from "../_gpu_test.ts";
import { signalFrame } from "./_signal_frame.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;
const PICTURE: ClipOutline = { height: 180, width: 320, bitDepths: [8] };

/** The plan for one picture, f32 and without tiles unless wished otherwise. */
async function fit(gpu: Gpu, wishes: Partial<MemoryWishes>, clip = PICTURE): Promise<FittedPlan> {
  using outline = await openOutline(gpu, await openModelFolder(MODEL));
  const all = { precision: "f32", vaeTiling: false, ...wishes } as const;
  return fitMemory(gpu, outline, { clip, steps: 1, text: { shapes: [[77, 64]], encoded: 0 }, wishes: all });
}

gpuTest("fitMemory() takes no measure without a limit, or with one that is not reached", async (gpu) => {
  const free = await fit(gpu, {});
  assert.deepEqual(free.measures, []);
  assert.deepEqual(free.settings, { precision: "f32", scratchBytes: 2 ** 26, keepDerived: true, tile: null });
  assert.deepEqual(await fit(gpu, { maxGpuMemory: free.peakBytes }), free);
});

gpuTest("fitMemory() takes measures in their order, each only as far as it must", async (gpu) => {
  const allowed = { precision: "auto", vaeTiling: true } as const;
  const taken: string[][] = [];
  let { peakBytes } = await fit(gpu, allowed);
  await assert.rejects(async () => {
    for (;;) {
      const plan = await fit(gpu, { ...allowed, maxGpuMemory: peakBytes - 1 });
      assert.ok(plan.peakBytes < peakBytes, `${plan.peakBytes} of ${peakBytes} bytes`);
      peakBytes = plan.peakBytes;
      taken.push([...plan.measures]);
    }
  }, LimitError);
  // How far each goes before the next is taken depends on the kernels; the order does not.
  const order = [
    /^bands of /,
    /^transformed filters computed anew each time$/,
    /^f16 weights$/,
    /^decoding in tiles of /,
  ];
  const kinds = taken.map((measures) =>
    measures.map((measure) => order.findIndex((kind) => kind.test(measure)))
  );
  for (const [i, list] of kinds.entries()) {
    assert.deepEqual(list, list.toSorted());
    assert.ok(list.length - (kinds[i - 1]?.length ?? 0) <= 1, `${taken[i]}`);
  }
  assert.deepEqual(kinds[0], [0]);
  assert.deepEqual(kinds.at(-1), [0, 1, 2, 3]);
  const bands = taken.map(([first]) => Number(/^bands of (\d+) MiB$/.exec(first!)![1]));
  assert.deepEqual(bands, bands.toSorted((a, b) => b - a));
  assert.ok(bands.every((mib) => [32, 16, 8, 4].includes(mib)), `${bands}`);
});

for (
  const [name, wishes, message] of [
    [
      "a flag",
      { maxGpuMemory: 200e6 },
      /^Cannot upscale 1 frame of 320 x 180 within 200 MB of GPU memory: stage "decode" needs \d+ MB after all measures that are allowed\. Pass --vae-tiling, or allow \d+MB with --max-gpu-memory$/,
    ],
    [
      "a frame size",
      { maxGpuMemory: 60e6, vaeTiling: true },
      /^Cannot .* within 60 MB of GPU memory: stage "sample" needs [\d.]+ MB after all .*\. Use frames of at most \d+ x \d+, or allow [\d.]+MB with/,
    ],
    [
      "more memory where nothing else helps",
      { maxGpuMemory: 1e6, vaeTiling: true },
      /^Cannot .* within 1 MB of GPU memory: stage "sample" needs [\d.]+ MB after all .*\. Allow [\d.]+MB with --max-gpu-memory$/,
    ],
  ] as const
) {
  gpuTest(`fitMemory() refuses with what would fit: ${name}`, async (gpu) => {
    await assert.rejects(fit(gpu, wishes), (error: Error) => {
      assert.ok(error instanceof LimitError);
      assert.match(error.message, message);
      return true;
    });
  });
}

gpuTest("fitMemory() names a size of memory that is enough", async (gpu) => {
  const error = await fit(gpu, { maxGpuMemory: 1e6 }).catch((error: Error) => error);
  const size = /Allow (\S+) with/.exec((error as Error).message)![1]!;
  const plan = await fit(gpu, { maxGpuMemory: parseByteSize(size)! });
  assert.ok(plan.peakBytes <= parseByteSize(size)!);
});

gpuTest("fitMemory() names a frame size that fits", async (gpu) => {
  const wishes = { maxGpuMemory: 60e6, vaeTiling: true };
  const error = await fit(gpu, wishes).catch((error: Error) => error);
  const [, width, height] = /at most (\d+) x (\d+)/.exec((error as Error).message)!;
  const clip = { ...PICTURE, width: Number(width), height: Number(height) };
  const plan = await fit(gpu, wishes, clip);
  assert.ok(plan.peakBytes <= 60e6 && plan.peakBytes > 55e6, `${plan.peakBytes} bytes`);
});

gpuTest(
  "fitMemory() refuses frames too large for the GPU with a size that fits, without a limit too",
  async (gpu) => {
    const clip = { ...PICTURE, width: 4000, height: 3000 };
    const error = await fit(gpu, {}, clip).catch((error: Error) => error);
    assert.ok(error instanceof LimitError);
    const [, width, height] = /binds \d+\. Use frames of at most (\d+) x (\d+)$/.exec(error.message)!;
    const plan = await fit(gpu, {}, { ...clip, width: Number(width), height: Number(height) });
    assert.ok(plan.peakBytes > 1e9 && Number(width) < 4000, `${width} x ${height}`);
    // Frames may be of any size where it is the model that is too large.
    using narrow = await Gpu.open({ allowCpu: true, maxBindingBytes: 256 });
    await assert.rejects(fit(narrow, {}), (error: Error) => {
      assert.ok(error instanceof LimitError);
      assert.match(error.message, /256 bytes this GPU binds$|this GPU binds 256$/);
      return true;
    });
  },
);

gpuTest(
  "fitMemory() finds what all measures together allow, though some alone do not lower the peak",
  async (gpu) => {
    const clip: ClipOutline = { ...PICTURE, bitDepths: [8, 8, 8] };
    const settings = { precision: "f16", scratchBytes: 2 ** 22, keepDerived: false, tile: 32 } as const;
    using outline = await openOutline(gpu, await openModelFolder(MODEL));
    const text = { shapes: [[77, 64] as const], encoded: 0 };
    const { peakBytes } = planMemory(gpu, outline, { clip, steps: 1, text, settings });
    const plan = await fit(gpu, { precision: "auto", vaeTiling: true, maxGpuMemory: peakBytes }, clip);
    assert.deepEqual(plan.settings, settings);
  },
);

/** On which a single tensor of the decoder is too large for 320 x 180. */
function openSmall(): Promise<Gpu> {
  return Gpu.open({ allowCpu: true, maxBufferBytes: 100e6 });
}

Deno.test("fitMemory() decodes in tiles, if allowed, where the GPU cannot hold a tensor of the whole frame", async () => {
  using gpu = await openSmall();
  const { measures, settings } = await fit(gpu, { vaeTiling: true });
  assert.deepEqual(measures, ["decoding in tiles of 512 pixels"]);
  assert.deepEqual(settings, { precision: "f32", scratchBytes: 2 ** 26, keepDerived: true, tile: 128 });
  await assert.rejects(fit(gpu, {}), {
    name: "LimitError",
    message:
      /^Cannot place "vae\.decoder\.[a-z0-9_.]+": \d+ bytes, a buffer holds 100000000\. Pass --vae-tiling$/,
  });
});

Deno.test("fitMemory() takes the other measures too where tiles make a frame possible but exceed the limit", async () => {
  using gpu = await openSmall();
  const { peakBytes } = await fit(gpu, { vaeTiling: true });
  const plan = await fit(gpu, { vaeTiling: true, maxGpuMemory: peakBytes - 1 });
  assert.ok(plan.peakBytes < peakBytes);
  assert.match(plan.measures.join(", "), /^bands of 32 MiB, decoding in tiles of 512 pixels$/);
});

Deno.test("fitMemory() advises what a limit allows where a tensor is too large for the GPU", async () => {
  using gpu = await openSmall();
  const wishes = { maxGpuMemory: 60e6 };
  const error = await fit(gpu, wishes).catch((error: Error) => error);
  const [, width, height] = /100000000\. Use frames of at most (\d+) x (\d+)$/.exec(
    (error as Error).message,
  )!;
  const plan = await fit(gpu, wishes, { ...PICTURE, width: Number(width), height: Number(height) });
  assert.ok(plan.peakBytes <= 60e6 && plan.peakBytes > 55e6, `${plan.peakBytes} bytes`);
  assert.match(plan.measures.join(), /bands/);
});

Deno.test("Upscaler.upscale() upscales a frame in tiles whose whole decoding the GPU cannot hold", async () => {
  const frame = signalFrame(0, { width: 72, height: 64 });
  async function upscaleOn(options: Partial<UpscalerOptions>): Promise<Frame> {
    using upscaler = await Upscaler.open({ model: MODEL, allowCpu: true, ...options });
    return (await Array.fromAsync(upscaler.upscale([frame])))[0]!;
  }
  const small = { maxBufferBytes: 7e6 };
  await assert.rejects(upscaleOn(small), /^LimitError: Cannot place "vae\..*, a buffer holds 7000000$/);
  const tiled = await upscaleOn({ ...small, vaeTiling: true }), whole = await upscaleOn({});
  assert.deepEqual([tiled.width, tiled.height], [288, 256]);
  const difference = meanDifference(tiled, whole);
  assert.ok(difference > 0 && difference < 2, `differs by ${difference} levels`);
});

function meanDifference(a: Frame, b: Frame): number {
  return [...a.data].reduce((sum, v, at) => sum + Math.abs(v - b.data[at]!), 0) / a.data.length;
}

const CLIP = [0, 1].map((i) => signalFrame(i, { width: 40, height: 36 }));

async function upscale(options: Partial<UpscalerOptions>): Promise<{ frames: Frame[]; peakBytes: number }> {
  using meter = new BufferMeter();
  using upscaler = await Upscaler.open({ model: MODEL, allowCpu: true, ...options });
  return {
    frames: await Array.fromAsync(upscaler.upscale(CLIP, { steps: 2 })),
    peakBytes: meter.peakBytes,
  };
}

Deno.test("Upscaler.upscale() keeps to a limit, and gives the same bytes with bands and without kept filters", async () => {
  const free = await upscale({}), limited = await upscale({ maxGpuMemory: 24e6 });
  assert.ok(
    free.peakBytes > 30e6 && limited.peakBytes <= 24e6,
    `${free.peakBytes}, ${limited.peakBytes} bytes`,
  );
  assert.deepEqual(limited.frames, free.frames);
});

Deno.test("Upscaler.upscale() keeps to a limit that takes f16 weights and tiles", async () => {
  const limit = 15e6;
  const { frames, peakBytes } = await upscale({ maxGpuMemory: limit, precision: "auto", vaeTiling: true });
  assert.ok(peakBytes <= limit && peakBytes > 0.9 * limit, `${peakBytes} bytes`);
  assert.deepEqual(frames.map(({ width, height }) => [width, height]), [[160, 144], [160, 144]]);
  using upscaler = await Upscaler.open({ model: MODEL, allowCpu: true, precision: "f16" });
  const whole = await Array.fromAsync(upscaler.upscale(CLIP, { steps: 2 }));
  for (const [i, frame] of frames.entries()) {
    const difference = meanDifference(frame, whole[i]!);
    assert.ok(difference > 0 && difference < 2, `frame ${i} differs by ${difference} levels`);
  }
});

Deno.test("Upscaler.open() refuses a limit that is no size", async () => {
  for (const maxGpuMemory of [0, -1, NaN]) {
    await assert.rejects(
      Upscaler.open({ model: MODEL, allowCpu: true, maxGpuMemory }),
      new RangeError(`Cannot use maxGpuMemory ${maxGpuMemory}: a positive number of bytes is wanted`),
    );
  }
});
