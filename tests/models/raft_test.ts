import { deepStrictEqual, throws } from "node:assert/strict";
import { parseRAFTConfig } from "../../src/checkpoint/raft_config.ts";
import { RAFT, raftPaddedSize } from "../../src/models/raft.ts";
import { assertGolden } from "../_assert.ts";
import { gpuTest } from "../_gpu_test.ts";
import { loadCase, loadIndex, maxRelOf, tensorOf } from "../golden_file.ts";
import { runRaftCase } from "./raft_case.ts";

for (const { name } of loadIndex().filter((c) => c.network === "raft")) {
  gpuTest(`RAFT gives the flow of golden ${name}`, async (gpu) => {
    const golden = loadCase(name);
    const outputs = await runRaftCase(gpu, golden);
    for (const [key, { data }] of outputs) {
      const used = assertGolden(data, tensorOf(golden, key).data, maxRelOf(golden, key), `${name} ${key}`);
      if (Deno.env.get("R")) console.log(name, key, used.toFixed(3));
    }
  });
}
