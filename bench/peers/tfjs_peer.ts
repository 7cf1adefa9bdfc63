// tfjs-backend-webgpu as a contestant.

import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-webgpu";
import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import { permute } from "./permute.ts";
import { type Chain, type Peer, serve } from "./serve.ts";
import type { Inputs, Work } from "./work.ts";

/** A chain's pieces: the tensor it starts from, one link, and how `read()` puts the axes back. */
interface Layer {
  readonly x: tf.Tensor;
  readonly constants: readonly tf.Tensor[];
  link(x: tf.Tensor): tf.Tensor;
  restore(y: Float32Array): Float32Array;
}

await serve(open);

async function open(): Promise<Peer> {
  if (!await tf.setBackend("webgpu")) throw new Error("Cannot start tfjs-backend-webgpu: it found no device");
  await tf.ready();
  const backend = tf.backend() as WebGPUBackend;
  return {
    about: `tfjs ${tf.version_core}, WebGPU backend`,
    prepare(work: Work, { inputs, links }): Promise<Chain> {
      const layer = makeLayer(work, inputs);
      let y: tf.Tensor | undefined;
      return Promise.resolve({
        async run() {
          y?.dispose();
          y = tf.tidy(() => {
            let y = layer.x;
            for (let i = 0; i < links; i++) y = layer.link(y);
            return y;
          });
          // The backend keeps commands back; without these two, the wait below would be for nothing.
          backend.endComputePassEncoder();
          backend.submitQueue();
          await backend.queue.onSubmittedWorkDone();
        },
        read: async () => layer.restore(await y!.data() as Float32Array),
        free: () => tf.dispose([...y ? [y] : [], layer.x, ...layer.constants]),
      });
    },
  };
}

function makeLayer(work: Work, inputs: Inputs): Layer {
  const x = inputs.x!;
  switch (work.kind) {
    case "conv2d": {
      const { channels, size } = work;
      const w = permute(inputs.w!.data, { shape: inputs.w!.shape, order: [2, 3, 1, 0] });
      const filter = tf.tensor4d(w, [3, 3, channels, channels]);
      return {
        x: tf.tensor4d(permute(x.data, { shape: x.shape, order: [1, 2, 0] }), [1, size, size, channels]),
        constants: [filter],
        link: (x) => tf.conv2d(x as tf.Tensor4D, filter, 1, "same"),
        restore: (y) => permute(y, { shape: [size, size, channels], order: [2, 0, 1] }),
      };
    }
    case "gemm": {
      const w = tensor(inputs.w!);
      return { x: tensor(x), constants: [w], link: (x) => tf.matMul(x, w), restore: (y) => y };
    }
    case "attention": {
      const k = tensor(inputs.k!), v = tensor(inputs.v!), scale = tf.scalar(work.headChannels ** -0.5);
      return {
        x: tensor(x),
        constants: [k, v, scale],
        link: (q) => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), scale)), v),
        restore: (y) => y,
      };
    }
  }
}

function tensor({ data, shape }: { data: Float32Array; shape: readonly number[] }): tf.Tensor {
  return tf.tensor(data, [...shape]);
}
