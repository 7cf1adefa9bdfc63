import assert from "node:assert/strict";
import type { Frame } from "../../src/media/frame.ts";
import type { Progress } from "../../src/vsr/progress.ts";
import type { UpscaleOptions } from "../../src/vsr/clip_settings.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { signalFrame } from "./_signal_frame.ts";
import { trackBuffers } from "./_track_buffers.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;
const SIZE = { width: 20, height: 14 };
const CLIP = [0, 1, 2].map((i) => signalFrame(i, SIZE));
const PAIR = CLIP.slice(0, 2);
const STAGES = ["flow", "sample", "decode"] as const;

/** Bytes of the model's largest parameter, a 3×3 convolution of 128 to 64 channels: what a GPU must bind at least. */
const LARGEST_WEIGHT = 4 * 3 * 3 * 128 * 64;

let shared: Upscaler | null = null;
let clipInTwoSteps: Frame[] | null = null;

/** The upscaler that tests share. */
async function open(): Promise<Upscaler> {
  return shared ??= await Upscaler.open({ model: MODEL, allowCpu: true });
}

Deno.test.afterAll(() => {
  shared?.close();
  shared = null;
});

async function upscale(
  upscaler: Upscaler,
  frames: Iterable<Frame> | AsyncIterable<Frame>,
  options: UpscaleOptions = {},
): Promise<Frame[]> {
  return await Array.fromAsync(upscaler.upscale(frames, options));
}

/** What the clip becomes in two steps, computed once: the second goes backwards. */
async function twoSteps(): Promise<Frame[]> {
  return clipInTwoSteps ??= await upscale(await open(), CLIP, { steps: 2 });
}

/** Fails for pictures that are black, white or of one colour. */
function assertPicture({ data, bitDepth }: Frame): void {
  const values = Array.from(data), top = 2 ** bitDepth - 1;
  const mean = values.reduce((a, b) => a + b) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
  assert.ok(mean > 0.2 * top && mean < 0.8 * top, `mean ${mean} of ${top}`);
  assert.ok(deviation > 0.05 * top, `standard deviation ${deviation} of ${top}`);
}

for (
  const [name, frames] of Object.entries({
    "1 frame of 20×14": CLIP.slice(0, 1),
    "2 frames of 20×14": PAIR,
    "1 frame of 61×47": [signalFrame(0, { width: 61, height: 47 })],
    "2 frames of 16 bits, 9×16": [0, 1].map((i) => signalFrame(i, { width: 9, height: 16, bitDepth: 16 })),
    "8 bits, 16 bits, 8 bits": ([8, 16, 8] as const).map((bitDepth, i) => {
      return signalFrame(i, { ...SIZE, bitDepth });
    }),
  })
) {
  Deno.test(`Upscaler.upscale() gives 4 times the size and the same depth: ${name}`, async () => {
    const output = await upscale(await open(), frames);
    assert.deepEqual(
      output.map((
        { width, height, bitDepth, data },
      ) => [width, height, bitDepth, data.constructor, data.length]),
      frames.map(({ width, height, bitDepth, data }) => {
        return [4 * width, 4 * height, bitDepth, data.constructor, 16 * data.length];
      }),
    );
    output.forEach(assertPicture);
  });
}

Deno.test("Upscaler.upscale() keeps the frames in order", async () => {
  // One frame is half dark, another time by another side: its place must show in the output of its own number.
  const frames = [0, 1, 2].map((dark): Frame => {
    const frame = signalFrame(0, SIZE);
    const from = dark * 5 * 3 * SIZE.width, data = Uint8Array.from(frame.data, (v) => 128 + v / 2);
    return { ...frame, data: data.fill(0, from, from + 4 * 3 * SIZE.width) };
  });
  const output = await upscale(await open(), frames);
  output.forEach(({ data, width }, i) => {
    const means = [0, 1, 2].map((third) => {
      const rows = data.subarray(third * 20 * 3 * width, (third * 20 + 16) * 3 * width);
      return Array.from(rows).reduce((a, b) => a + b) / rows.length;
    });
    assert.equal(means.indexOf(Math.min(...means)), i, `frame ${i} has row means ${means}`);
  });
});

Deno.test("Upscaler.upscale() gives the same bytes twice, other bytes for another seed", async () => {
  const upscaler = await open(), first = await twoSteps();
  assert.deepEqual(await upscale(upscaler, CLIP, { steps: 2, seed: 42 }), first);
  const other = await upscale(upscaler, CLIP, { steps: 2, seed: 43 });
  other.forEach((frame, i) => assert.notDeepEqual(frame.data, first[i]!.data));
});

Deno.test("Upscaler.upscale() obeys steps and conditioning scale", async () => {
  const upscaler = await open();
  const guided = await upscale(upscaler, PAIR),
    unguided = await upscale(upscaler, PAIR, { conditioningScale: 0 });
  const twice = await upscale(upscaler, PAIR, { steps: 2 });
  assert.notDeepEqual(twice[0]!.data, guided[0]!.data);
  // The first frame visited has no guide.
  assert.deepEqual(unguided[0]!.data, guided[0]!.data);
  assert.notDeepEqual(unguided[1]!.data, guided[1]!.data);
});

Deno.test("Upscaler.upscale() gives the same bytes where a GPU can bind just the largest weight", async () => {
  using limited = await Upscaler.open({ model: MODEL, allowCpu: true, maxBindingBytes: LARGEST_WEIGHT });
  assert.deepEqual(await upscale(limited, CLIP, { steps: 2 }), await twoSteps());
});

for (
  const [network, maxBindingBytes, frames] of [
    ["unet", LARGEST_WEIGHT - 16, CLIP.slice(0, 1)],
    ["flow", 100_000, PAIR],
    ["flow", 20_000, PAIR],
  ] as const
) {
  Deno.test(
    `Upscaler.upscale() names the layer that does not fit into ${maxBindingBytes} bytes, and frees everything`,
    async () => {
      // Without subgroups weights are in buffers.
      using limited = await Upscaler.open({
        model: MODEL,
        allowCpu: true,
        maxBindingBytes,
        subgroups: false,
      });
      using buffers = trackBuffers();
      await assert.rejects(upscale(limited, frames), {
        name: "LimitError",
        message: new RegExp(`^Cannot run .*"${network}\\..* this GPU binds`),
      });
      assert.ok(buffers.made > 0, "no buffer was made");
      assert.deepEqual([...buffers.live].map((b) => b.label), []);
    },
  );
}

Deno.test("Upscaler.upscale() reports each stage from the start to its total, never backwards", async () => {
  const events: Progress[] = [];
  await upscale(await open(), CLIP, { steps: 2, onProgress: (event) => void events.push(event) });
  const totals: Record<string, number> = { flow: 2, sample: 6, decode: 3 };
  assert.deepEqual([...new Set(events.map((e) => e.stage))], [...STAGES]);
  for (const [i, { stage, done, total }] of events.entries()) {
    const before = events[i - 1];
    assert.equal(total, totals[stage]);
    if (before?.stage === stage) assert.ok(done >= before.done && done <= total, `${stage}: ${done}`);
    else if (before) assert.equal(before.done, before.total, `${before.stage} ended early`);
  }
  assert.deepEqual(events.at(-1), { stage: "decode", done: 3, total: 3 });
});

Deno.test("Upscaler.upscale() has no flow to compute for one frame", async () => {
  const stages = new Set<string>();
  await upscale(await open(), CLIP.slice(0, 1), { onProgress: ({ stage }) => void stages.add(stage) });
  assert.deepEqual([...stages], ["sample", "decode"]);
});

Deno.test("Upscaler.upscale() refuses no frames and mixed sizes", async () => {
  const upscaler = await open();
  await assert.rejects(
    upscale(upscaler, []),
    new RangeError("Cannot upscale a clip without frames: at least one is wanted"),
  );
  await assert.rejects(
    upscale(upscaler, [...CLIP, signalFrame(3, { width: 20, height: 15 })]),
    new RangeError("Cannot add frame 3: it is 20×15, the clip is 20×14"),
  );
});

const WRONG: [keyof UpscaleOptions, number[], string][] = [
  ["steps", [0, -1, 1.5, 1001, NaN], "an integer from 1 to 1000 is wanted"],
  ["seed", [-1, 0.5, 2 ** 53, NaN], "a non-negative integer up to 2^53 - 1 is wanted"],
  ["conditioningScale", [-0.1, NaN, Infinity], "a number of 0 or more is wanted"],
  ["guidanceScale", [-0.1, NaN, Infinity], "a number of 0 or more is wanted"],
];
for (const [name, values, wanted] of WRONG) {
  Deno.test(`Upscaler.upscale() refuses ${name} out of range before it touches a frame`, async () => {
    const upscaler = await open();
    using buffers = trackBuffers();
    for (const value of values) {
      const words = name.replace("Scale", " scale");
      const expected = new RangeError(`Cannot use ${words} ${value}: ${wanted}`);
      await assert.rejects(upscale(upscaler, CLIP, { [name]: value }), expected);
      assert.throws(() => upscaler.settings({ [name]: value }), expected);
    }
    assert.equal(buffers.made, 0);
  });
}

Deno.test("Upscaler.settings() takes what is left out from the model", async () => {
  const upscaler = await open();
  assert.deepEqual(upscaler.settings(), {
    steps: 1,
    scheduler: "ddpm",
    seed: 42,
    conditioningScale: 0.5,
    noiseLevel: null,
    prompt: "",
    negativePrompt: "",
    guidanceScale: 1,
  });
  assert.deepEqual(upscaler.settings({ steps: 1000, seed: 0, conditioningScale: 0, guidanceScale: 7.5 }), {
    steps: 1000,
    scheduler: "ddpm",
    seed: 0,
    conditioningScale: 0,
    noiseLevel: null,
    prompt: "",
    negativePrompt: "",
    guidanceScale: 7.5,
  });
});

/** Fails unless `body` leaves no GPU buffer behind that it made, and made some. */
async function assertFreesAll(body: (upscaler: Upscaler) => Promise<void>): Promise<void> {
  const upscaler = await open();
  using buffers = trackBuffers();
  await body(upscaler);
  assert.ok(buffers.made > 0, "no buffer was made");
  assert.deepEqual([...buffers.live].map((b) => b.label), []);
}

Deno.test("Upscaler.upscale() frees everything at the end", async () => {
  await assertFreesAll(async (upscaler) => void await upscale(upscaler, PAIR));
});

Deno.test("Upscaler.upscale() frees everything when the caller leaves the loop early, and works again", async () => {
  let first: Frame | undefined;
  await assertFreesAll(async (upscaler) => {
    for await (first of upscaler.upscale(PAIR)) break;
  });
  assert.deepEqual((await upscale(await open(), PAIR))[0], first);
});

Deno.test("Upscaler.upscale() frees everything when the caller's loop throws", async () => {
  const reason = new Error("disk full");
  await assertFreesAll(async (upscaler) => {
    await assert.rejects(
      async () => {
        for await (const _ of upscaler.upscale(PAIR)) throw reason;
      },
      (error) => error === reason,
    );
  });
});

Deno.test("Upscaler.upscale() frees everything when the frames fail to come", async () => {
  const reason = new Error("no such file");
  function* frames() {
    yield CLIP[0]!;
    throw reason;
  }
  await assertFreesAll(async (upscaler) => {
    await assert.rejects(upscale(upscaler, frames()), (error) => error === reason);
  });
  await assertFreesAll(async (upscaler) => {
    await assert.rejects(upscale(upscaler, [CLIP[0]!, signalFrame(1, { width: 1, height: 1 })]), RangeError);
  });
});

for (const stage of STAGES) {
  Deno.test(`Upscaler.upscale() stops with the reason and frees everything when aborted: ${stage}`, async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const events: Progress[] = [];
    await assertFreesAll(async (upscaler) => {
      const options = {
        steps: 3,
        signal: controller.signal,
        onProgress(event: Progress) {
          events.push(event);
          if (event.stage === stage && event.done > 0) controller.abort(reason);
        },
      };
      await assert.rejects(upscale(upscaler, CLIP, options), (error) => error === reason);
    });
    const last = events.at(-1)!;
    assert.equal(last.stage, stage);
    assert.ok(last.done < last.total, `${last.done} of ${last.total} were done all the same`);
  });

  Deno.test(`Upscaler.upscale() frees everything when a progress callback throws: ${stage}`, async () => {
    const reason = new Error("broken pipe");
    await assertFreesAll(async (upscaler) => {
      const options = {
        onProgress(event: Progress) {
          if (event.stage === stage && event.done > 0) throw reason;
        },
      };
      await assert.rejects(upscale(upscaler, PAIR, options), (error) => error === reason);
    });
  });
}

Deno.test("Upscaler.upscale() reads no frame when aborted beforehand", async () => {
  const upscaler = await open();
  using buffers = trackBuffers();
  const reason = new Error("too late");
  await assert.rejects(
    upscale(upscaler, CLIP, { signal: AbortSignal.abort(reason) }),
    (error) => error === reason,
  );
  assert.equal(buffers.made, 0);
});

Deno.test("Upscaler.open() names a model folder that is not there", async () => {
  await assert.rejects(Upscaler.open({ model: `${MODEL}/missing`, allowCpu: true }), {
    name: "MissingModelError",
  });
});

Deno.test("Upscaler.upscale() throws instead of hanging once the device is gone", async () => {
  using upscaler = await Upscaler.open({ model: MODEL, allowCpu: true });
  upscaler.close();
  await assert.rejects(upscale(upscaler, CLIP), { name: "GpuError", kind: "lost" });
});
