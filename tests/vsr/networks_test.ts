import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError, MissingModelError } from "../../src/checkpoint/errors.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { checkNetworks } from "../../src/vsr/networks.ts";
import { gpuTest } from "../_gpu_test.ts";
import { copyModel, editHeader } from "../cli/edited_model.ts";
import { withTempDir } from "../media/with_temp_dir.ts";

gpuTest(
  "checkNetworks() lists missing, misshapen and mistyped tensors of all parts in one error",
  (gpu) =>
    withTempDir(async (dir) => {
      const folder = await copyModel(dir);
      await editHeader(folder, { part: "unet", from: '"conv_out.bias"', to: '"\\u001b_out.bi"' });
      await editHeader(folder, { part: "unet", from: "[32,7,3,3]", to: "[7,32,3,3]" });
      await editHeader(folder, { part: "vae", from: '"F16"', to: '"I16"' });
      const model = await openModelFolder(folder);
      await assert.rejects(checkNetworks(gpu, model), (error: Error) => {
        assert.ok(error instanceof CheckpointError, error.stack);
        assert.match(
          error.message,
          /^Cannot load ".*": its tensors do not fit its configuration; take both from/,
        );
        const unet = "unet/diffusion_pytorch_model.safetensors", vae = unet.replace("unet", "vae");
        assert.deepEqual([...error.problems].sort(), [
          `${unet}: misshapen: "conv_in.weight", found [7, 32, 3, 3], wanted [32, 7, 3, 3]`,
          `${unet}: missing: "conv_out.bias", wanted [4]`,
          `${unet}: unexpected: "\\u001b_out.bi", found [4]`,
          `${vae}: mistyped: "decoder.conv_in.bias", found I16, wanted F32, F16 or BF16`,
        ]);
        return true;
      });
    }),
);

gpuTest(
  "checkNetworks() accepts the bundled model, and wants a prompt that can be read",
  (gpu) =>
    withTempDir(async (dir) => {
      const folder = await copyModel(dir);
      const model = await openModelFolder(folder);
      await checkNetworks(gpu, model);
      const prompt = join(folder, "text_encoder/empty_prompt.safetensors");
      const bytes = await Deno.readFile(prompt);
      bytes.fill(0xff, bytes.length - 4);
      await Deno.writeFile(prompt, bytes);
      await assert.rejects(
        checkNetworks(gpu, model),
        /tensor "prompt_embeds" of .*: element \d+ is NaN, wanted/,
      );
      await Deno.remove(prompt);
      await assert.rejects(checkNetworks(gpu, model), MissingModelError);
    }),
);
