import assert from "node:assert/strict";
import { ConfigError, MissingModelError } from "../../src/checkpoint/errors.ts";
import { highestNoiseLevel } from "../../src/checkpoint/model_configs.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { withStableVSR } from "../vsr/_stablevsr_folder.ts";
import { withX4 } from "../vsr/_x4_folder.ts";
import { safetensorsBytes, withFolder, zeroTensors } from "./_safetensors_bytes.ts";

const NANO = new URL("../../weights/nano/", import.meta.url).pathname;
const PROMPT = "text_encoder/empty_prompt.safetensors";
const LOW_RES = "low_res_scheduler/scheduler_config.json";

/** A copy of nano in a temporary folder. */
async function withNano(use: (folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    for (const part of ["unet", "vae", "dgafnet", "flow", "scheduler", "text_encoder"]) {
      await Deno.mkdir(`${folder}/${part}`);
      for await (const { name } of Deno.readDir(`${NANO}${part}`)) {
        await Deno.copyFile(`${NANO}${part}/${name}`, `${folder}/${part}/${name}`);
      }
    }
    await Deno.copyFile(`${NANO}model_index.json`, `${folder}/model_index.json`);
    await use(folder);
  });
}

async function edit(path: string, change: object): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...json, ...change }));
}

Deno.test("openModelFolder() opens nano, and every tensor of every part reads", async () => {
  const model = await openModelFolder(NANO);
  const { configs } = model;
  assert.deepEqual(configs.index, {
    pipeline_class: "DGAFVSRPipeline",
    scheduler_class: "DDPMScheduler",
    low_res_scheduler: false,
    num_inference_steps: 1,
    conditioning_scale: 0.5,
    guidance_scale: 1,
    max_noise_level: 350,
  });
  assert.equal(configs.low_res_scheduler, null);
  assert.deepEqual(configs.unet.heads, [4, 4, 4]);
  assert.deepEqual(configs.vae.block_out_channels, [16, 32, 64]);
  assert.equal(configs.dgafnet?.mid_block_type, "MidBlock2D");
  assert.equal(configs.flow?.num_flow_updates, 6);
  assert.equal(configs.scheduler.timestep_spacing, "trailing");
  const counts: Record<string, number> = {};
  const parameters: Record<string, number> = {};
  for (const part of ["unet", "vae", "dgafnet", "flow"] as const) {
    using weights = await model.openWeights(part);
    counts[part] = parameters[part] = 0;
    for (const name of weights.names()) {
      const data = await weights.read(name);
      assert.equal(data.length, weights.shape(name)!.reduce((product, size) => product * size, 1));
      counts[part]!++;
      parameters[part]! += data.length;
    }
  }
  assert.deepEqual(counts, { unet: 364, vae: 136, dgafnet: 246, flow: 82 });
  // Two bytes each: what the files hold beside length and header.
  assert.deepEqual(parameters, { unet: 2_073_892, vae: 648_375, dgafnet: 1_590_720, flow: 500_288 });
  const prompt = await model.readEmptyPrompt();
  assert.deepEqual(prompt.shape, [8, 64]);
  assert.equal(prompt.data.length, 512);
});

Deno.test("openModelFolder() says when there is no such folder", async () => {
  await assert.rejects(openModelFolder(`${NANO}nowhere`), (error: Error) => {
    assert.ok(error instanceof MissingModelError);
    assert.match(error.message, /^Cannot open model ".*nowhere": no such folder/);
    return true;
  });
  await assert.rejects(openModelFolder(`${NANO}model_index.json`), MissingModelError);
});

Deno.test("openModelFolder() lists all missing parts at once", async () => {
  await withNano(async (folder) => {
    await Deno.remove(`${folder}/flow`, { recursive: true });
    await Deno.remove(`${folder}/vae/config.json`);
    await Deno.rename(`${folder}/unet/diffusion_pytorch_model.safetensors`, `${folder}/unet/model.bin`);
    await Deno.remove(`${folder}/${PROMPT}`);
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof MissingModelError);
      assert.equal(error.problems.length, 4);
      assert.match(error.problems[0]!, /^vae\/config\.json: /);
      assert.match(
        error.problems[1]!,
        /^unet: no "diffusion_pytorch_model\.safetensors" but "model\.bin"; only safe/,
      );
      assert.match(error.problems[2]!, /^flow: put torchvision's weights of raft_large there .*--flow$/);
      assert.match(error.problems[3]!, /^text_encoder\/empty_prompt\.safetensors: copy .*"prompt_embeds"$/);
      for (const problem of error.problems) assert.ok(error.message.includes(problem));
      return true;
    });
  });
});

Deno.test("openModelFolder() opens a model without temporal module, and refuses one with two", async () => {
  await withNano(async (folder) => {
    await Deno.mkdir(`${folder}/controlnet`);
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        "it has dgafnet and controlnet, wanted one temporal module at most: remove the folder of the other",
      ]);
      return true;
    });
    await Deno.remove(`${folder}/controlnet`);
    await Deno.remove(`${folder}/dgafnet`, { recursive: true });
    const withFlow = await openModelFolder(folder);
    assert.equal(withFlow.configs.dgafnet, null);
    assert.equal(withFlow.configs.flow?.corr_block_radius, 3);
    await Deno.remove(`${folder}/flow`, { recursive: true });
    assert.equal((await openModelFolder(folder)).configs.flow, null);
  });
});

Deno.test("openModelFolder() opens StableVSR's layout, and refuses a ControlNet that does not fit", async () => {
  await withStableVSR(async (folder) => {
    const { configs } = await openModelFolder(folder);
    assert.equal(configs.dgafnet, null);
    assert.deepEqual(configs.controlnet?.conditioning_embedding_out_channels, [8, 12, 16]);
    assert.equal(configs.flow?.num_flow_updates, 6);
    await edit(`${folder}/controlnet/config.json`, {
      layers_per_block: 1,
      cross_attention_dim: 32,
      conditioning_channels: 4,
      conditioning_embedding_out_channels: [16, 32, 96, 256],
    });
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        "controlnet/config.json: layers_per_block is 1, wanted 2 (as unet/config.json)",
        "controlnet/config.json: cross_attention_dim is 32, wanted 64 (as unet/config.json)",
        "controlnet/config.json: conditioning_channels is 4, wanted 3 (channels of a decoded frame)",
        "controlnet/config.json: 2^(entries of conditioning_embedding_out_channels - 1) is 8, wanted 4 " +
        "(the upscaling factor)",
      ]);
      return true;
    });
  });
});

Deno.test("openModelFolder() opens the x4-upscaler's layout, and refuses one without classes or schedule", async () => {
  await withX4(async (folder) => {
    const { configs } = await openModelFolder(folder);
    assert.deepEqual([configs.dgafnet, configs.controlnet, configs.flow], [null, null, null]);
    assert.equal(configs.low_res_scheduler?.beta_schedule, "scaled_linear");
    assert.equal(highestNoiseLevel(configs), 50);
    await edit(`${folder}/${LOW_RES}`, { num_train_timesteps: 40 });
    assert.equal(highestNoiseLevel((await openModelFolder(folder)).configs), 39);

    await edit(`${folder}/${LOW_RES}`, { beta_schedule: "squaredcos_cap_v2" });
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        `${LOW_RES}: beta_schedule is "squaredcos_cap_v2", wanted ("linear" | "scaled_linear")`,
      ]);
      const summary =
        /^Cannot use model ".*": not supported; get its configurations again, or choose a model as in /;
      assert.match(error.message, summary);
      return true;
    });
    await Deno.remove(`${folder}/${LOW_RES}`);
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof MissingModelError);
      assert.deepEqual(error.problems, [`no "${LOW_RES}": copy it from the model's source`]);
      return true;
    });
    await edit(`${folder}/unet/config.json`, { num_class_embeds: null });
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        "unet/config.json: num_class_embeds is null, wanted a number (StableDiffusionUpscalePipeline tells the UNet " +
        "a noise level)",
      ]);
      return true;
    });
    // As StableVSR's: its pipeline has the schedule among its parts but uses none.
    await edit(`${folder}/model_index.json`, { _class_name: "StableVSRPipeline" });
    const unused = (await openModelFolder(folder)).configs;
    assert.equal(unused.low_res_scheduler, null);
    assert.equal(highestNoiseLevel(unused), null);
  });
});

Deno.test("openModelFolder() lists the problems of all configurations at once", async () => {
  await withNano(async (folder) => {
    await edit(`${folder}/unet/config.json`, { act_fn: "gelu" });
    await edit(`${folder}/flow/config.json`, { num_flow_updates: 0 });
    await Deno.writeTextFile(`${folder}/vae/config.json`, "{\u001b");
    await Deno.writeTextFile(
      `${folder}/scheduler/scheduler_config.json`,
      '{"steps_offset":0,"steps_offset":1}',
    );
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.problems.length, 4);
      assert.equal(error.problems[0], 'unet/config.json: act_fn is "gelu", wanted "silu"');
      assert.match(error.problems[1]!, /^vae\/config\.json: not valid JSON \([ -~]+\)$/);
      assert.equal(error.problems[2], 'scheduler/scheduler_config.json: key "steps_offset" appears twice');
      assert.match(error.problems[3]!, /^flow\/config\.json: num_flow_updates is 0, wanted/);
      return true;
    });
  });
});

Deno.test("openModelFolder() refuses parts that do not fit each other", async () => {
  await withNano(async (folder) => {
    await edit(`${folder}/unet/config.json`, { in_channels: 4, out_channels: 3 });
    await edit(`${folder}/vae/config.json`, {
      block_out_channels: [16, 32],
      down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
      up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    });
    await edit(`${folder}/dgafnet/config.json`, { layers_per_block: 1, conditioning_channels: 5 });
    await edit(`${folder}/scheduler/scheduler_config.json`, { _class_name: "DDIMScheduler" });
    await edit(`${folder}/model_index.json`, { num_inference_steps: 1001, conditioning_scale: 1 });
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        "unet/config.json: out_channels is 3, wanted 4 (latent_channels of vae/config.json)",
        "unet/config.json: in_channels is 4, wanted 7 (latent_channels of vae/config.json and 3 channels of the frame)",
        "vae/config.json: 2^(entries of block_out_channels - 1) is 2, wanted 4 (the upscaling factor)",
        "model_index.json: num_inference_steps is 1001, wanted at most num_train_timesteps of " +
        "scheduler/scheduler_config.json, 1000",
        'scheduler/scheduler_config.json: _class_name is "DDIMScheduler", wanted "DDPMScheduler" (model_index.json)',
        "dgafnet/config.json: conditioning_channels is 5, wanted 4 (latent_channels of vae/config.json)",
        "dgafnet/config.json: in_channels is 7, wanted 4 (as unet/config.json)",
        "dgafnet/config.json: layers_per_block is 1, wanted 2 (as unet/config.json)",
        "model_index.json: conditioning_scale is 1, wanted 0.5 (as dgafnet/config.json)",
      ]);
      return true;
    });
  });
});

Deno.test("openModelFolder() refuses a configuration over 1 MiB, one that is not UTF-8, and a link outwards", async () => {
  await withNano(async (folder) => {
    await Deno.truncate(`${folder}/vae/config.json`, 2 ** 20 + 1);
    await Deno.writeFile(`${folder}/unet/config.json`, Uint8Array.of(0x22, 0xff, 0x22));
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.problems.length, 2);
      assert.match(error.problems[0]!, /^unet\/config\.json: /);
      assert.equal(error.problems[1], "vae/config.json: 1048577 bytes, wanted at most 1048576");
      return true;
    });
    await Deno.remove(`${folder}/unet/config.json`);
    await Deno.symlink(`${NANO}unet/config.json`, `${folder}/unet/config.json`);
    await assert.rejects(openModelFolder(folder), /"unet\/config\.json": it leads outside the model folder/);
  });
});

Deno.test("ModelFolder.readEmptyPrompt() takes [tokens, dim], and refuses other shapes", async () => {
  await withNano(async (folder) => {
    const model = await openModelFolder(folder);
    const prompt = Float32Array.from({ length: 128 }, (_, i) => i);
    const header = { prompt_embeds: { dtype: "F32", shape: [2, 64], data_offsets: [0, 512] } };
    await Deno.writeFile(`${folder}/${PROMPT}`, safetensorsBytes(header, prompt));
    assert.deepEqual(await model.readEmptyPrompt(), { data: prompt, shape: [2, 64] });
    for (
      const [tensors, found] of [
        [{ prompt_embeds: [2, 32] }, "[2, 32]"],
        [{ prompt_embeds: [2, 8, 64] }, "[2, 8, 64]"],
        [{ prompt_embeds: [1, 0, 64] }, "[1, 0, 64]"],
        [{ prompt_embeds: [1025, 64] }, "[1025, 64]"],
        [{ prompt_embeds: [64] }, "[64]"],
        [{ prompt_embeds: [1, 1, 8, 64] }, "[1, 1, 8, 64]"],
        [{ embeds: [8, 64] }, "missing"],
      ] as const
    ) {
      await Deno.writeFile(`${folder}/${PROMPT}`, zeroTensors(tensors));
      await assert.rejects(model.readEmptyPrompt(), (error: Error) => {
        assert.ok(
          error.message.endsWith(
            `"prompt_embeds" is ${found}, wanted [tokens, 64] or [1, tokens, 64], with 1 to 1024 tokens`,
          ),
          error.message,
        );
        return true;
      });
    }
    await Deno.remove(`${folder}/${PROMPT}`);
    await assert.rejects(model.readEmptyPrompt(), MissingModelError);
  });
});
