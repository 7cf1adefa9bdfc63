import assert from "node:assert/strict";
import { join } from "node:path";
import { MissingModelError } from "../../src/checkpoint/errors.ts";
import { type UpscaleOptions } from "../../src/vsr/clip_settings.ts";
import { JobFolder } from "../../src/vsr/job_folder.ts";
import type { Progress } from "../../src/vsr/progress.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { alwaysDue } from "./_always_due.ts";
import { signalFrame } from "./_signal_frame.ts";
import { EMPTY_PROMPT, withEncoderInstead, withEncoderToo } from "./_text_encoder_folder.ts";
import { trackBuffers } from "./_track_buffers.ts";
import { withX4, writeJson, X4_INDEX } from "./_x4_folder.ts";

const NANO = new URL("../../weights/nano", import.meta.url).pathname;
const CLIP = [signalFrame(0, { width: 12, height: 8, bitDepth: 16 })];
const CAT = "a photo of a cat", WORDS = "word word word word word word";
const SETTINGS = { steps: 2, seed: 3 };

async function upscale(upscaler: Upscaler, options: UpscaleOptions): Promise<number[]> {
  const frames = await Array.fromAsync(upscaler.upscale(CLIP, { ...SETTINGS, ...options }));
  return frames.flatMap(({ data }) => [...data]);
}

/** Mean difference in levels. */
function distance(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
}

Deno.test("Upscaler.upscale() leads away from the negative prompt, in proportion to the guidance scale", () =>
  withEncoderInstead(async (model) => {
    using upscaler = await Upscaler.open({ model, allowCpu: true });
    using buffers = trackBuffers();
    const cat = await upscale(upscaler, { prompt: CAT }), words = await upscale(upscaler, { prompt: WORDS });
    const apart = distance(cat, words);
    assert.ok(apart > 0.1, `${apart} levels of 65535 between prompts`);
    const guided = (guidanceScale: number) =>
      upscale(upscaler, { prompt: CAT, negativePrompt: WORDS, guidanceScale });
    // The other way round it would be the negative prompt's.
    assert.ok(distance(await guided(1.0001), cat) < 0.1 * apart);
    for (const guidanceScale of [2, 4]) {
      const factor = distance(await guided(guidanceScale), words) / apart;
      assert.ok(Math.abs(factor / guidanceScale - 1) < 0.1, `${factor} times as far with ${guidanceScale}`);
    }
    for (const guidanceScale of [0, 1]) {
      assert.deepEqual(await upscale(upscaler, { prompt: CAT, guidanceScale }), cat);
    }
    assert.deepEqual(await upscale(upscaler, { prompt: CAT, negativePrompt: CAT, guidanceScale: 5 }), cat);
    assert.deepEqual([...buffers.live].map(({ label }) => label), []);
  }));

Deno.test("Upscaler takes the empty prompt from its file and other prompts from the text encoder beside it", () =>
  withEncoderToo(async (model) => {
    using nano = await Upscaler.open({ model: NANO, allowCpu: true });
    using both = await Upscaler.open({ model, allowCpu: true });
    const stages = new Set<string>();
    const onProgress = ({ stage }: Progress) => void stages.add(stage);
    const empty = await upscale(both, { onProgress });
    assert.deepEqual(empty, await upscale(nano, {}));
    assert.deepEqual([...stages], ["sample", "decode"]);
    const cat = await upscale(both, { prompt: CAT, onProgress });
    assert.ok(stages.has("text"));
    assert.notDeepEqual(cat, empty);
    assert.notDeepEqual(await upscale(both, { prompt: CAT, guidanceScale: 3 }), cat);
    const { model: files, settings } = await both.manifest({}, { prompt: CAT, guidanceScale: 3 });
    for (const name of [EMPTY_PROMPT, "text_encoder/model.safetensors", "tokenizer/vocab.json"]) {
      assert.ok(Object.hasOwn(files, name), name);
    }
    assert.deepEqual([settings.prompt, settings.negativePrompt, settings.guidanceScale], [CAT, "", 3]);

    // What is wrong with the encoder does not matter as long as nobody needs it.
    await Deno.writeTextFile(join(model, "text_encoder/config.json"), '{"model_type":"t5"}');
    using other = await Upscaler.open({ model, allowCpu: true });
    assert.deepEqual(await upscale(other, {}), empty);
    assert.throws(() => other.settings({ prompt: CAT }), {
      name: "ConfigError",
      message: /^Cannot use prompt "a photo of a cat": model .* no usable text encoder\n.*model_type/,
    });
  }));

Deno.test("Upscaler.settings() refuses a prompt that the model cannot encode, and a negative one that would not count", async () => {
  using upscaler = await Upscaler.open({ model: NANO, allowCpu: true });
  const wanted =
    /^Cannot use prompt ".+": model .*nano" has .*\n {2}text_encoder\/config\.json: copy text_encoder and /;
  for (const options of [{ prompt: CAT }, { negativePrompt: WORDS, guidanceScale: 2 }]) {
    assert.throws(() => upscaler.settings(options), (error: Error) => {
      assert.ok(error instanceof MissingModelError);
      assert.match(error.message, wanted);
      return true;
    });
    await assert.rejects(upscale(upscaler, options), MissingModelError);
    await assert.rejects(upscaler.plan({ width: 8, height: 8, bitDepths: [8] }, options), MissingModelError);
  }
  for (const guidanceScale of [0, 1]) {
    assert.throws(() => upscaler.settings({ negativePrompt: WORDS, guidanceScale }), {
      name: "RangeError",
      message:
        `Cannot use negative prompt "${WORDS}": with guidance scale ${guidanceScale} it would not count; ` +
        "a guidance scale above 1 is wanted",
    });
    assert.equal(upscaler.settings({ guidanceScale }).guidanceScale, 1);
  }
});

Deno.test("Upscaler.settings() takes the guidance scale from the model's index, or 9 as the x4-upscaler's pipeline", () =>
  withX4(async (model) => {
    using x4 = await Upscaler.open({ model, allowCpu: true });
    assert.equal(x4.settings().guidanceScale, 9);
    await writeJson(join(model, "model_index.json"), { ...X4_INDEX, guidance_scale: 2.5 });
    using other = await Upscaler.open({ model, allowCpu: true });
    assert.equal(other.settings().guidanceScale, 2.5);
    assert.equal(other.settings({ guidanceScale: 4 }).guidanceScale, 4);
  }));

Deno.test("Upscaler.cutText() gives the end of each prompt that is too long", () =>
  withEncoderToo(async (model) => {
    using upscaler = await Upscaler.open({ model, allowCpu: true });
    const long = `${"word ".repeat(75)}of a cat`;
    assert.deepEqual(upscaler.cutText({ prompt: CAT }), []);
    assert.deepEqual(upscaler.cutText({ prompt: long }), ["of a cat"]);
    assert.deepEqual(
      upscaler.cutText({ prompt: `${long} cat`, negativePrompt: long, guidanceScale: 2 }),
      ["of a cat cat", "of a cat"],
    );
  }));

Deno.test("Upscaler.upscale() goes on without the text encoder from the prompts that a job kept", () =>
  withEncoderInstead((model) =>
    withTempDir(async (dir) => {
      const options = { ...SETTINGS, prompt: CAT, negativePrompt: WORDS, guidanceScale: 3 };
      using upscaler = await Upscaler.open({ model, allowCpu: true });
      const expected = await upscale(upscaler, options), manifest = await upscaler.manifest({}, options);
      using _ = alwaysDue();
      async function run(upscaler: Upscaler, until: (event: Progress) => boolean): Promise<number[] | null> {
        await using job = await JobFolder.open(dir, ["0"]);
        await job.begin(manifest);
        const controller = new AbortController(), reason = new Error("enough");
        function onProgress(event: Progress): void {
          if (until(event)) controller.abort(reason);
        }
        return await upscale(upscaler, { ...options, job, onProgress, signal: controller.signal })
          .catch((error) => error === reason ? null : Promise.reject(error));
      }
      using second = await Upscaler.open({ model, allowCpu: true });
      using third = await Upscaler.open({ model, allowCpu: true });
      assert.equal(await run(upscaler, ({ stage, done }) => stage === "text" && done === 2), null);
      const kept = join(dir, ".dgaf-vsr-job/prompts/000000002.safetensors");
      assert.equal((await Deno.stat(kept)).isFile, true);

      const weights = join(model, "text_encoder/model.safetensors");
      await Deno.rename(weights, `${weights}.away`);
      assert.equal(await run(second, ({ stage, done }) => stage === "sample" && done === 1), null);
      await Deno.writeTextFile(kept, "damaged");
      await assert.rejects(run(third, () => false), { name: "MissingModelError" });
      await Deno.rename(`${weights}.away`, weights);
      assert.deepEqual(await run(third, () => false), expected);
    })
  ));
