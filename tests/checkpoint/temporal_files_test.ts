import assert from "node:assert/strict";
import { ConfigError, MissingModelError } from "../../src/checkpoint/errors.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { TemporalFiles } from "../../src/checkpoint/temporal_files.ts";
import { withStableVSR } from "../vsr/_stablevsr_folder.ts";
import { withFolder } from "./_safetensors_bytes.ts";

const NANO = new URL("../../weights/nano/", import.meta.url).pathname;
const DGAFNET = `${NANO}dgafnet`;
const WEIGHTS = "diffusion_pytorch_model.safetensors";

/** A copy of nano's DGAFNet in a folder of its own. */
async function withDGAFNet(use: (folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    for (const name of ["config.json", WEIGHTS]) {
      await Deno.copyFile(`${DGAFNET}/${name}`, `${folder}/${name}`);
    }
    await use(folder);
  });
}

Deno.test("TemporalFiles.at() tells the kind by the class, and names files as in a model folder", async () => {
  await withStableVSR(async (folder) => {
    const files = await TemporalFiles.at(`${folder}/controlnet`);
    assert.equal(files.part, "controlnet");
    const { controlnet, dgafnet } = await files.readConfig();
    assert.deepEqual(controlnet?.conditioning_embedding_out_channels, [8, 12, 16]);
    assert.equal(dgafnet, null);
  });
  const files = await TemporalFiles.at(DGAFNET);
  assert.equal(files.part, "dgafnet");
  assert.equal((await files.readConfig()).dgafnet?.conditioning_channels, 4);
  assert.deepEqual(
    await files.files(),
    new Map([
      ["dgafnet/config.json", `${DGAFNET}/config.json`],
      [`dgafnet/${WEIGHTS}`, `${DGAFNET}/${WEIGHTS}`],
    ]),
  );
  using weights = await files.openWeights();
  assert.equal([...weights.names()].length, 246);
});

Deno.test("TemporalFiles.at() refuses no folder, one without parts, another class, and links outwards", () =>
  withDGAFNet(async (folder) => {
    await assert.rejects(TemporalFiles.at(`${folder}/x`), (error: Error) => {
      assert.ok(error instanceof MissingModelError);
      assert.equal(
        error.message,
        `Cannot open temporal module "${folder}/x": no such folder; give the path of a folder with its config.json ` +
          "and weights",
      );
      return true;
    });
    await assert.rejects(TemporalFiles.at(NANO), (error: Error) => {
      assert.ok(error instanceof MissingModelError);
      assert.deepEqual(error.problems, [
        'no "config.json": give the folder that holds it beside the weights, or copy it from their source',
      ]);
      return true;
    });
    await assert.rejects(TemporalFiles.at(`${NANO}unet`), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        `${NANO}unet/config.json: _class_name is "UNet2DConditionModel", wanted "DGAFNetModel" or ` +
        '"ControlNetModel": give the folder of such a module',
      ]);
      return true;
    });
    for (const json of ["null", "[]", "{}", '{"_class_name":["DGAFNetModel"]}']) {
      await Deno.writeTextFile(`${folder}/config.json`, json);
      await assert.rejects(TemporalFiles.at(folder), ConfigError);
    }
    await Deno.remove(`${folder}/config.json`);
    await Deno.symlink(`${DGAFNET}/config.json`, `${folder}/config.json`);
    await assert.rejects(TemporalFiles.at(folder), /"config\.json": it leads outside the model folder/);
    await Deno.remove(`${folder}/config.json`);
    await Deno.copyFile(`${DGAFNET}/config.json`, `${folder}/config.json`);
    await Deno.remove(`${folder}/${WEIGHTS}`);
    await assert.rejects(TemporalFiles.at(folder), (error: Error) => {
      assert.ok(error instanceof MissingModelError);
      assert.deepEqual(error.problems, [
        `the folder: no "${WEIGHTS}": copy it from the model's source`,
      ]);
      return true;
    });
  }));

Deno.test("openModelFolder() takes a temporal module from elsewhere, with its scale, instead of the model's", () =>
  withStableVSR((folder) =>
    withDGAFNet(async (temporal) => {
      const model = await openModelFolder(folder, { temporal }), { configs } = model;
      const files = await model.files();
      assert.equal(files.get("dgafnet/config.json"), await Deno.realPath(`${temporal}/config.json`));
      assert.equal(files.get(`dgafnet/${WEIGHTS}`), await Deno.realPath(`${temporal}/${WEIGHTS}`));
      assert.equal(files.has("controlnet/config.json"), false);
      assert.equal(configs.controlnet, null);
      assert.equal(configs.dgafnet?.mid_block_type, "MidBlock2D");
      assert.equal(configs.index.conditioning_scale, 0.5);
      const other = (await openModelFolder(NANO, { temporal: `${folder}/controlnet` })).configs;
      assert.equal(other.dgafnet, null);
      assert.deepEqual(other.controlnet?.conditioning_embedding_out_channels, [8, 12, 16]);
      assert.equal(other.index.conditioning_scale, 1); // what the index says is of the model's own
    })
  ));

Deno.test("openModelFolder() refuses a temporal module that does not fit, and wants flow for one", () =>
  withStableVSR((folder) =>
    withDGAFNet(async (temporal) => {
      await Deno.remove(`${folder}/controlnet`, { recursive: true });
      const path = `${temporal}/config.json`, config = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...config, layers_per_block: 1, num_class_embeds: 9 }));
      await assert.rejects(openModelFolder(folder, { temporal }), (error: Error) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(error.problems, [
          `${path}: layers_per_block is 1, wanted 2 (as unet/config.json)`,
          `${path}: num_class_embeds is 9, wanted null (as unet/config.json)`,
        ]);
        return true;
      });
      await Deno.remove(`${folder}/flow`, { recursive: true });
      await assert.rejects(openModelFolder(folder, { temporal }), (error: Error) => {
        assert.ok(error instanceof MissingModelError);
        assert.deepEqual(error.problems, [
          "flow: put torchvision's weights of raft_large there as a .pth file, or pass them with --flow",
        ]);
        return true;
      });
    })
  ));
