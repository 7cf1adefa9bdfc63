import type { Gpu } from "./device.ts";
import type { Slice } from "./dispatch.ts";
import { fillMemory, textureBytes } from "./texture.ts";

/** One recorded dispatch, ready to encode. */
export interface PlanNode {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
  /** Path of the layer. */
  readonly label: string;
  /** Kernel and variant. */
  readonly kernel: string;
  /** What its kernel may read. */
  readonly reads: readonly Slice[];
  /** What its kernel may write. */
  readonly writes: readonly Slice[];
}

/** The buffers of a plan. */
export interface PlanMemory {
  /** What belongs to it and goes with it. */
  readonly own: readonly (GPUBuffer | GPUTexture)[];
  /** What holds values that nothing but a replay needs, its own or another plan's. */
  readonly scratch: Scratch;
}

/** Arenas and textures that another plan may use as well. */
export interface Scratch<Buffer = GPUBuffer, Texture = GPUTexture> {
  readonly arenas: readonly Buffer[];
  readonly textures: readonly Texture[];
}

/** The bytes of each. */
export type ScratchSizes = Scratch<number, number>;

export function scratchSizes({ arenas, textures }: Scratch): ScratchSizes {
  return { arenas: arenas.map(({ size }) => size), textures: textures.map(textureBytes) };
}

/** Recorded GPU work that can be replayed any number of times. */
export class Plan {
  readonly nodes: readonly PlanNode[];
  readonly #setup: readonly PlanNode[];
  readonly #step: readonly PlanNode[];
  readonly #memory: PlanMemory;

  /** `setup` runs once, in `prepare()`; `step` there and in `beginStep()`; `nodes` at each replay. */
  constructor(
    parts: Readonly<Record<"setup" | "step" | "nodes", readonly PlanNode[]>>,
    memory: PlanMemory,
  ) {
    this.nodes = parts.nodes;
    this.#setup = parts.setup;
    this.#step = parts.step;
    this.#memory = memory;
  }

  /** Computes what stays the same in all replays. */
  prepare(gpu: Gpu): void {
    submitNodes(gpu, [...this.#setup, ...this.#step]);
  }

  /** Computes what `Recorder.stepwise()` recorded, from the inputs' present values. */
  beginStep(gpu: Gpu): void {
    submitNodes(gpu, this.#step);
  }

  /** Bytes of GPU memory held by this plan (arenas and uniforms; weights and inputs are not its own). */
  get byteLength(): number {
    return this.#memory.own.reduce((sum, b) => sum + (b instanceof GPUBuffer ? b.size : textureBytes(b)), 0);
  }

  /** What another plan may use as well, see `Recorder.finish()`. */
  get scratch(): Scratch {
    return this.#memory.scratch;
  }

  /** All buffers that hold tensors. */
  get #arenas(): GPUBuffer[] {
    const all = new Set([...this.#memory.own, ...this.#memory.scratch.arenas]);
    return [...all].filter((b) => b instanceof GPUBuffer).filter(({ usage }) =>
      usage & GPUBufferUsage.STORAGE
    );
  }

  /** Fills the plan's tensors with NaN, so that a value nobody wrote shows in the results; prepares it again. */
  poison(gpu: Gpu): void {
    for (const buffer of this.#arenas) {
      const chunk = new Uint32Array(Math.min(buffer.size, 2 ** 24) / 4).fill(0x7fc00000);
      for (let at = 0; at < buffer.size; at += chunk.byteLength) {
        const size = Math.min(chunk.byteLength, buffer.size - at);
        gpu.device.queue.writeBuffer(buffer, at, chunk, 0, size / 4);
      }
    }
    for (const texture of this.#memory.scratch.textures) fillMemory(gpu.device, texture, 0x7fc00000);
    this.prepare(gpu);
  }

  /** Fills the plan's tensors with zeros and prepares it again. */
  clear(gpu: Gpu): void {
    gpu.submit((encoder) => {
      for (const buffer of this.#arenas) encoder.clearBuffer(buffer);
    }, "clear a plan");
    for (const texture of this.#memory.scratch.textures) fillMemory(gpu.device, texture, 0);
    this.prepare(gpu);
  }

  /** Encodes all dispatches, or those from `from` to before `to`, in one compute pass. */
  encode(encoder: GPUCommandEncoder, from = 0, to = this.nodes.length): void {
    encodeNodes(encoder, this.nodes.slice(from, to));
  }

  /** Frees the plan's memory; its outputs are gone. */
  destroy(): void {
    for (const buffer of this.#memory.own) buffer.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

function submitNodes(gpu: Gpu, nodes: readonly PlanNode[]): void {
  if (nodes.length > 0) gpu.submit((encoder) => encodeNodes(encoder, nodes), "prepare a plan");
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
