import assert from "node:assert/strict";
import { join } from "node:path";
import type { Frame } from "../../src/media/frame.ts";
import type { UpscaleOptions } from "../../src/vsr/clip_settings.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { copyModel } from "../cli/edited_model.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { signalFrame } from "./_signal_frame.ts";

const FRAME = signalFrame(0, { width: 12, height: 10 });
/** Not nano's, so that keys which a scheduler takes over, and one that only DDIM knows, count. */
const EDITS = { timestep_spacing: "leading", steps_offset: 1, clip_sample: true, set_alpha_to_one: false };

/** The bundled model with the scheduler of that class in its files. */
async function modelWith(scheduler: "DDPMScheduler" | "DDIMScheduler", folder: string): Promise<string> {
  const model = await copyModel(folder);
  await edit(join(model, "model_index.json"), { scheduler: ["diffusers", scheduler] });
  await edit(join(model, "scheduler/scheduler_config.json"), { ...EDITS, _class_name: scheduler });
  return model;
}

async function edit(file: string, changes: object): Promise<void> {
  await Deno.writeTextFile(
    file,
    JSON.stringify({ ...JSON.parse(await Deno.readTextFile(file)), ...changes }),
  );
}

async function upscale(upscaler: Upscaler, options: UpscaleOptions): Promise<Frame[]> {
  return await Array.fromAsync(upscaler.upscale([FRAME], { steps: 2, ...options }));
}

Deno.test("Upscaler.upscale() with another scheduler gives the bytes of a model whose files name it", () =>
  withTempDir(async (dir) => {
    const open = (model: string) => Upscaler.open({ model, allowCpu: true });
    using ddpm = await open(await modelWith("DDPMScheduler", join(dir, "ddpm")));
    using ddim = await open(await modelWith("DDIMScheduler", join(dir, "ddim")));
    const byDDPM = await upscale(ddpm, {}), byDDIM = await upscale(ddim, {});
    assert.notDeepEqual(byDDPM, byDDIM);
    assert.deepEqual(await upscale(ddpm, { scheduler: "ddim" }), byDDIM);
    assert.deepEqual(await upscale(ddim, { scheduler: "ddpm" }), byDDPM);

    assert.deepEqual([ddpm, ddim].map((upscaler) => upscaler.settings().scheduler), ["ddpm", "ddim"]);
    const { settings } = await ddpm.manifest({}, { scheduler: "ddim" });
    assert.equal(settings.scheduler, "ddim");
    assert.throws(
      () => ddpm.settings({ scheduler: "euler" as "ddim" }),
      new RangeError('Cannot use scheduler "euler": "ddpm" or "ddim" is wanted'),
    );
  }));
