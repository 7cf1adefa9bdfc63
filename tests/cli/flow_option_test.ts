import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nanoFlowAsTorchFile } from "../checkpoint/_nano_flow.ts";
import { torchBytes } from "../checkpoint/_torch_bytes.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { makeClip } from "./make_clip.ts";
import { runCli } from "./run_cli.ts";

const CONFIG = fileURLToPath(new URL("../../weights/nano/flow/config.json", import.meta.url));

Deno.test("upscale and plan use the weights of --flow, and refuse those that do not fit", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "in"), flow = join(dir, "raft"), file = join(flow, "raft.pth");
    await makeClip(input, { width: 16, height: 12, count: 2 });
    await Deno.mkdir(flow);
    await Deno.copyFile(CONFIG, join(flow, "config.json"));
    const { tensors, bytes } = await nanoFlowAsTorchFile();
    await Deno.writeFile(file, bytes);
    async function upscaled(output: string, ...args: string[]): Promise<Uint8Array> {
      const { code, stderr } = await runCli("upscale", "-i", input, "-o", output, "--allow-cpu", ...args);
      strictEqual(code, 0, stderr);
      return await Deno.readFile(join(output, "frame_0002.png"));
    }
    const bundled = await upscaled(join(dir, "bundled"));
    deepStrictEqual(await upscaled(join(dir, "same"), "--flow", flow), bundled);

    const planned = await runCli("plan", "-i", input, "--allow-cpu", "--flow", flow);
    strictEqual(planned.code, 0, planned.stderr);

    const link = join(dir, "link.pth");
    await Deno.symlink(file, link);
    for (const path of [file, link]) { // may be read, but its sizes are not known
      const { code, stderr } = await runCli("plan", "-i", input, "--allow-cpu", "--flow", path);
      strictEqual(code, 65);
      ok(stderr.includes(`${basename(path)}: neither torchvision's raft_large nor raft_small; put`), stderr);
    }

    tensors.delete("update_block.flow_head.conv2.bias");
    await Deno.writeFile(file, torchBytes(tensors));
    for (const command of [["plan"], ["upscale", "-o", join(dir, "broken")]]) {
      const { code, stderr } = await runCli(...command, "-i", input, "--allow-cpu", "--flow", flow);
      strictEqual(code, 65);
      ok(stderr.includes('raft.pth: missing: "update_block.flow_head.conv2.bias", wanted [2]'), stderr);
    }
  }));
