import { encodeOnnx, MICROSOFT, type OnnxGraph, type OnnxNode } from "./onnx.ts";
import { permute } from "./permute.ts";
import type { Input, Inputs, Work } from "./work.ts";

/** A work as an ONNX file: `links` nodes that share the constants. */
export interface OrtGraph {
  readonly model: Uint8Array;
  /** Shape and values of the graph's input `x`. */
  readonly x: Input;
  /** Puts the axes of the graph's output `y` back. */
  restore(y: Float32Array): Float32Array;
}

/** Builds the ONNX file of a chain, in the layouts ONNX Runtime has its fastest operators for. */
export function ortGraph(work: Work, { inputs, links }: { inputs: Inputs; links: number }): OrtGraph {
  function chain(node: Omit<OnnxNode, "inputs" | "output">, { x, constants }: {
    x: Input;
    constants: OnnxGraph["constants"];
  }): Pick<OrtGraph, "model" | "x"> {
    const nodes = Array.from({ length: links }, (_, i) => ({
      ...node,
      inputs: [i === 0 ? "x" : `y${i}`, ...Object.keys(constants)],
      output: i === links - 1 ? "y" : `y${i + 1}`,
    }));
    return { model: encodeOnnx({ shape: x.shape, nodes, constants }), x };
  }

  const x = inputs.x!;
  switch (work.kind) {
    case "conv2d": {
      const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] };
      const input = { data: x.data, shape: [1, ...x.shape] };
      return {
        ...chain({ op: "Conv", attributes }, { x: input, constants: { w: inputs.w! } }),
        restore: (y) => y,
      };
    }
    case "gemm":
      return { ...chain({ op: "MatMul" }, { x, constants: { w: inputs.w! } }), restore: (y) => y };
    case "attention": {
      const { heads, tokens, headChannels } = work;
      const constants = { k: tokensFirst(inputs.k!), v: tokensFirst(inputs.v!) };
      const node = { op: "MultiHeadAttention", domain: MICROSOFT, attributes: { num_heads: heads } };
      return {
        ...chain(node, { x: tokensFirst(x), constants }),
        restore: (y) => permute(y, { shape: [tokens, heads, headChannels], order: [1, 0, 2] }),
      };
    }
  }
}

/** [heads, tokens, channels] as [1, tokens, heads · channels]. */
function tokensFirst({ data, shape: [heads, tokens, channels] }: Input): Input {
  const reordered = permute(data, { shape: [heads!, tokens!, channels!], order: [1, 0, 2] });
  return { data: reordered, shape: [1, tokens!, heads! * channels!] };
}
