import assert from "node:assert/strict";
import { ConfigError, MissingModelError } from "../../src/checkpoint/errors.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { recognizeRAFT } from "../../src/checkpoint/raft_sizes.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import { RAFT } from "../../src/models/raft.ts";
import { Weights } from "../../src/nn/weights.ts";
import { gpuTest } from "../_gpu_test.ts";
import { copyModel } from "../cli/edited_model.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { nanoFlowAsTorchFile } from "./_nano_flow.ts";
import raftShapes from "./fixtures/raft_shapes.json" with { type: "json" };

for (const [name, shapes] of Object.entries(raftShapes)) {
  gpuTest(`recognizeRAFT() finds ${name}'s configuration, which all its tensors fit`, (gpu) => {
    const map = new Map<string, readonly number[]>(Object.entries(shapes));
    const source = {
      description: name,
      has: (tensor: string) => map.has(tensor),
      shape: (tensor: string) => map.get(tensor),
      dtype: (tensor: string) => map.has(tensor) ? "F32" : undefined,
      names: () => map.keys(),
      read: () => Promise.reject(new Error("nothing is read")),
      parts: () => {
        throw new Error("nothing is read");
      },
    };
    const config = recognizeRAFT(source);
    assert.ok(config);
    assert.equal(config.use_mask_predictor, name === "raft_large");
    const view = new WeightView(source);
    new RAFT(new Weights(gpu, view, "flow"), config);
    assert.deepEqual(view.problems(), []);
    map.set("feature_encoder.conv.weight", [1, 1, 1, 1]);
    assert.equal(recognizeRAFT(source), null);
    return Promise.resolve();
  });
}

Deno.test("openModelFolder() takes a .pth file in flow/, and wants its config.json where it is no RAFT of torchvision", () =>
  withTempDir(async (dir) => {
    const folder = await copyModel(`${dir}/model`);
    const { tensors, bytes } = await nanoFlowAsTorchFile();
    await Deno.remove(`${folder}/flow/model.safetensors`);
    await Deno.writeFile(`${folder}/flow/raft-1234.pth`, bytes);
    const model = await openModelFolder(folder);
    assert.deepEqual([...(await model.files()).keys()].filter((name) => name.startsWith("flow/")).sort(), [
      "flow/config.json",
      "flow/raft-1234.pth",
    ]);
    using weights = await model.openWeights("flow");
    assert.equal(weights.description, "flow/raft-1234.pth");
    assert.deepEqual([...weights.names()], [...tensors.keys()]);
    for (const [name, { shape, data }] of tensors) {
      assert.deepEqual(weights.shape(name), shape);
      assert.deepEqual(await weights.read(name), data);
    }
    await Deno.remove(`${folder}/flow/config.json`);
    await assert.rejects(openModelFolder(folder), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        "flow/raft-1234.pth: neither torchvision's raft_large nor raft_small; put it into a folder with a " +
        "config.json that has the network's sizes",
      ]);
      return true;
    });
  }));

Deno.test("openModelFolder() takes the flow from a folder elsewhere, also where the model has none", () =>
  withTempDir(async (dir) => {
    const folder = await copyModel(`${dir}/model`);
    await Deno.rename(`${folder}/flow`, `${dir}/raft`);
    await assert.rejects(openModelFolder(folder), MissingModelError);
    const model = await openModelFolder(folder, { flow: `${dir}/raft` });
    assert.equal(model.configs.flow?.corr_block_radius, 3);
    const real = await Deno.realPath(`${dir}/raft`);
    const files = [...await model.files()].filter(([name]) => name.startsWith("flow/"));
    assert.deepEqual(files.sort(), [
      ["flow/config.json", `${real}/config.json`],
      ["flow/model.safetensors", `${real}/model.safetensors`],
    ]);
    using weights = await model.openWeights("flow");
    assert.equal(weights.description, "model.safetensors");
  }));

Deno.test("openModelFolder() says why it cannot use a flow", () =>
  withTempDir(async (dir) => {
    const folder = await copyModel(`${dir}/model`);
    await Deno.mkdir(`${dir}/empty`);
    await Deno.writeTextFile(`${dir}/raft.pkl`, "");
    await Deno.copyFile(`${folder}/flow/model.safetensors`, `${dir}/reduced.safetensors`);
    await Deno.writeTextFile(`${dir}/broken.pth`, "");
    const cases: [flow: string, message: RegExp][] = [
      ["nowhere.pth", /^MissingModelError: Cannot open flow ".*nowhere\.pth": no such file or folder; give/],
      [
        "raft.pkl",
        /^MissingModelError: Cannot open flow ".*raft\.pkl": wanted RAFT's weights in a file that ends/,
      ],
      [
        "empty",
        /^MissingModelError: Cannot open flow ".*empty"\n {2}the folder: no "diffusion_pytorch_model\.safe/,
      ],
      [
        "reduced.safetensors",
        /^ConfigError: [^]*\n {2}reduced\.safetensors: neither torchvision's raft_large nor/,
      ],
      [
        "broken.pth",
        /^CheckpointError: Cannot read "broken\.pth" as PyTorch's tensors: 0 bytes, wanted a ZIP/,
      ],
    ];
    for (const [flow, message] of cases) {
      await assert.rejects(openModelFolder(folder, { flow: `${dir}/${flow}` }), message);
    }
    await Deno.remove(`${folder}/flow`, { recursive: true });
    await Deno.mkdir(`${folder}/flow`);
    await Deno.writeTextFile(`${folder}/flow/a\u202eb.pth`, "");
    await assert.rejects(
      openModelFolder(folder),
      /^CheckpointError: Cannot read "flow\/a\\u\{202e\}b\.pth" as Py/,
    );
    await Deno.remove(`${folder}/dgafnet`, { recursive: true });
    await assert.rejects(
      openModelFolder(folder, { flow: `${folder}/flow` }),
      /^ConfigError: Cannot use flow ".*flow"\n {2}the model has no temporal module, so it takes no flow: leave/,
    );
  }));
