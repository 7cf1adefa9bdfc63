import type { Gpu } from "./device.ts";

/** One recorded dispatch, ready to encode. */
export interface PlanNode {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
  /** Path of the layer. */
  readonly label: string;
  /** Kernel and variant. */
  readonly kernel: string;
}

/** Recorded GPU work that can be replayed any number of times; owns its memory. */
export class Plan {
  readonly nodes: readonly PlanNode[];
  readonly #setup: readonly PlanNode[];
  readonly #buffers: readonly GPUBuffer[];

  /** `setup` runs before the first replay, in `prepare()`. */
  constructor(nodes: readonly PlanNode[], setup: readonly PlanNode[], buffers: readonly GPUBuffer[]) {
    this.nodes = nodes;
    this.#setup = setup;
    this.#buffers = buffers;
  }

  /** Computes what stays the same in all replays. */
  prepare(gpu: Gpu): void {
    if (this.#setup.length > 0) gpu.submit((encoder) => encodeNodes(encoder, this.#setup));
  }

  /** Bytes of GPU memory held by this plan (arenas and uniforms; weights and inputs are not its own). */
  get byteLength(): number {
    return this.#buffers.reduce((sum, b) => sum + b.size, 0);
  }

  /** Fills the plan's tensors with NaN, so that a value nobody wrote shows in the results; prepares it again. */
  poison(gpu: Gpu): void {
    for (const buffer of this.#buffers) {
      if (!(buffer.usage & GPUBufferUsage.STORAGE)) continue;
      const chunk = new Uint32Array(Math.min(buffer.size, 2 ** 24) / 4).fill(0x7fc00000);
      for (let at = 0; at < buffer.size; at += chunk.byteLength) {
        const size = Math.min(chunk.byteLength, buffer.size - at);
        gpu.device.queue.writeBuffer(buffer, at, chunk, 0, size / 4);
      }
    }
    this.prepare(gpu);
  }

  /** Encodes all dispatches, or those from `from` to before `to`, in one compute pass. */
  encode(encoder: GPUCommandEncoder, from = 0, to = this.nodes.length): void {
    encodeNodes(encoder, this.nodes.slice(from, to));
  }

  /** Frees the plan's memory; its outputs are gone. */
  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

function encodeNodes(encoder: GPUCommandEncoder, nodes: readonly PlanNode[]): void {
  const pass = encoder.beginComputePass();
  for (const node of nodes) encodeNode(pass, node);
  pass.end();
}

/** Encodes one dispatch. */
export function encodeNode(pass: GPUComputePassEncoder, node: PlanNode): void {
  pass.setPipeline(node.pipeline);
  pass.setBindGroup(0, node.group);
  pass.dispatchWorkgroups(...node.workgroups);
}
