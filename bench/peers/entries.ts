import { join } from "node:path";
import type { Entry } from "./contestant.ts";

const HERE = import.meta.dirname!;
/** Idle OpenMP threads would spin, take time from the others and count as CPU time of their own. */
const NO_SPINNING = { OMP_WAIT_POLICY: "passive", KMP_BLOCKTIME: "0" };

/** Who takes part, in the order of a round. The first is what all others are compared with. */
export function allEntries(python: string): Entry[] {
  return [
    { name: "ours", on: "GPU", command: deno("ours_peer.ts", "winograd") },
    { name: "ours, without Winograd", on: "GPU", kinds: ["conv2d"], command: deno("ours_peer.ts", "direct") },
    { name: "onnxruntime-web WebGPU", on: "GPU", command: deno("ort_webgpu_peer.ts") },
    { name: "tfjs WebGPU", on: "GPU", command: deno("tfjs_peer.ts") },
    { name: "jax-js WebGPU", on: "GPU", command: deno("jax_peer.ts") },
    { name: "ncnn Vulkan", on: "GPU", ...script("ncnn_peer.py", { needs: "ncnn numpy", args: ["vulkan"] }) },
    { name: "onnxruntime-web wasm", on: "CPU", command: deno("ort_wasm_peer.ts") },
    { name: "ncnn CPU", on: "CPU", ...script("ncnn_peer.py", { needs: "ncnn numpy", args: ["cpu"] }) },
    { name: "PyTorch CPU", on: "CPU", ...script("torch_peer.py", { needs: "torch numpy", args: [] }) },
  ];

  function script(
    file: string,
    { needs, args }: { needs: string; args: string[] },
  ): Pick<Entry, "command" | "environment" | "install"> {
    return {
      command: [python, "-B", join(HERE, file), ...args],
      environment: NO_SPINNING,
      install: `${python} -m pip install ${needs}, or name another interpreter with --python`,
    };
  }
}

function deno(file: string, ...args: string[]): string[] {
  return [Deno.execPath(), "run", "-A", "--config", join(HERE, "deno.json"), join(HERE, file), ...args];
}
