// onnxruntime-web with its WebGPU execution provider as a contestant; input and output stay on the GPU.

import * as ort from "onnxruntime-web/webgpu";
import { ortGraph } from "./ort_graph.ts";
import { type Chain, type Peer, serve } from "./serve.ts";
import type { Work } from "./work.ts";

await serve(open);

function open(): Promise<Peer> {
  ort.env.logLevel = "error";
  ort.env.webgpu.powerPreference = "high-performance";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL(".", import.meta.resolve("onnxruntime-web/webgpu")).href;
  return Promise.resolve({
    about: `onnxruntime-web ${ort.env.versions.web}, WebGPU execution provider`,
    async prepare(work: Work, { inputs, links }): Promise<Chain> {
      const { model, x, restore } = ortGraph(work, { inputs, links });
      const session = await ort.InferenceSession.create(model, {
        executionProviders: ["webgpu"],
        preferredOutputLocation: "gpu-buffer",
      });
      const device = await ort.env.webgpu.device as GPUDevice;
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      const buffer = device.createBuffer({ size: x.data.byteLength, usage });
      device.queue.writeBuffer(buffer, 0, x.data);
      const feed = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: x.shape });
      let y: ort.Tensor | undefined;
      return {
        async run() {
          y?.dispose();
          y = (await session.run({ x: feed })).y!;
          await device.queue.onSubmittedWorkDone();
        },
        read: async () => restore(await y!.getData() as Float32Array),
        async free() {
          y?.dispose();
          buffer.destroy();
          await session.release();
        },
      };
    },
  });
}
