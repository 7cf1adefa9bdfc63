// jax-js with its WebGPU backend as a contestant: each chain is one jit-compiled function.

import { type Array as JaxArray, defaultDevice, init, jit, lax, nn, numpy as np } from "@jax-js/jax";
import config from "./deno.json" with { type: "json" };
import { permute } from "./permute.ts";
import { type Chain, type Peer, serve } from "./serve.ts";
import type { Input, Inputs, Work } from "./work.ts";

/** A chain's pieces: what its function takes, first the input of the chain, and one link. */
interface Layer {
  readonly given: readonly JaxArray[];
  link(x: JaxArray, constants: readonly JaxArray[]): JaxArray;
  restore(y: Float32Array): Float32Array;
}

await serve(open);

async function open(): Promise<Peer> {
  const devices = await init("webgpu");
  if (!devices.includes("webgpu")) throw new Error(`Cannot start jax-js on WebGPU: it found [${devices}]`);
  defaultDevice("webgpu");
  return {
    about: `${config.imports["@jax-js/jax"]}, one jit function per chain`,
    prepare(work: Work, { inputs, links }): Promise<Chain> {
      const { given, link, restore } = makeLayer(work, inputs);
      // Arrays are owned: a use takes one away, `.ref` counts one up.
      const chain = jit((x: JaxArray, ...constants: JaxArray[]) => {
        let y = x;
        for (let i = 0; i < links; i++) y = link(y, constants.map((c) => c.ref));
        for (const constant of constants) constant.dispose();
        return y;
      });
      let y: JaxArray | undefined;
      return Promise.resolve({
        async run() {
          y?.dispose();
          const [x, ...constants] = given.map((array) => array.ref);
          y = chain(x!, ...constants);
          await y.blockUntilReady();
        },
        read: async () => restore(await y!.ref.data() as Float32Array),
        free() {
          y?.dispose();
          for (const array of given) array.dispose();
          chain.dispose();
        },
      });
    },
  };
}

function makeLayer(work: Work, inputs: Inputs): Layer {
  const x = inputs.x!;
  switch (work.kind) {
    case "conv2d":
      return {
        given: [upload(x, [1, ...x.shape]), upload(inputs.w!)],
        link: (x, [w]) => lax.conv(x, w!, [1, 1], "SAME"),
        restore: (y) => y,
      };
    case "gemm":
      return {
        given: [upload(x), upload(inputs.w!)],
        link: (x, [w]) => np.matmul(x, w!),
        restore: (y) => y,
      };
    case "attention": {
      const { heads, tokens, headChannels } = work;
      return {
        given: [x, inputs.k!, inputs.v!].map(tokensFirst),
        link: (q, [k, v]) => nn.dotProductAttention(q, k!, v!),
        restore: (y) => permute(y, { shape: [tokens, heads, headChannels], order: [1, 0, 2] }),
      };
    }
  }
}

/** [heads, tokens, channels] as [tokens, heads, channels]. */
function tokensFirst({ data, shape: [heads, tokens, channels] }: Input): JaxArray {
  const reordered = permute(data, { shape: [heads!, tokens!, channels!], order: [1, 0, 2] });
  return upload({ data: reordered, shape: [tokens!, heads!, channels!] });
}

function upload({ data, shape }: Input, as: readonly number[] = shape): JaxArray {
  return np.array(data, { shape: [...as] });
}
