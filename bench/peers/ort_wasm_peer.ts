// onnxruntime-web on the CPU as a contestant: WebAssembly with SIMD, two threads.

import * as ort from "onnxruntime-web";
import { ortGraph } from "./ort_graph.ts";
import { type Chain, type Peer, serve } from "./serve.ts";
import type { Work } from "./work.ts";

const THREADS = 2;

await serve(open);

function open(): Promise<Peer> {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = THREADS;
  ort.env.wasm.wasmPaths = new URL(".", import.meta.resolve("onnxruntime-web")).href;
  return Promise.resolve({
    about: `onnxruntime-web ${ort.env.versions.web}, wasm, ${THREADS} threads`,
    async prepare(work: Work, { inputs, links }): Promise<Chain> {
      const { model, x, restore } = ortGraph(work, { inputs, links });
      const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
      const feed = new ort.Tensor("float32", x.data, x.shape);
      let y: ort.Tensor | undefined;
      return {
        async run() {
          y = (await session.run({ x: feed })).y!;
        },
        read: () => Promise.resolve(restore(y!.data as Float32Array)),
        free: () => session.release(),
      };
    },
  });
}
