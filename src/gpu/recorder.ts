import { type ArenaPlan, planArenas } from "./arena.ts";
import { BINDING_ALIGNMENT, type Gpu } from "./device.ts";
import { LimitError } from "./errors.ts";
import { compile, type CompiledKernel, type Constants, type Kernel, variantName } from "./kernel.ts";
import { Plan, type PlanNode } from "./plan.ts";
import { type Storage, Tensor } from "./tensor.ts";

/** A range of a tensor, widened so that it starts at an offset that can be bound. */
export interface Slice {
  readonly tensor: Tensor;
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Index of the first bound `vec4` within the tensor; the shader subtracts it. */
  readonly base: number;
}

/** What a binding may be given: a tensor, a part of one, or nothing (a few zero bytes, for inputs only). */
export type Bound = Tensor | Slice | null;

/** One dispatch. */
export interface Dispatch {
  readonly bindings: Readonly<Record<string, Bound>>;
  readonly params: Readonly<Record<string, number>>;
  /** Number of workgroups in x, y, z, each at most 65,535. */
  readonly workgroups: readonly [number, number, number];
  readonly constants?: Constants;
  /** Appears in profiles and errors: the path of the layer. */
  readonly label: string;
}

interface Node extends Dispatch {
  readonly kernel: Kernel;
}

/** The `vec4`s [from, to) of a tensor as a binding. */
export function slice(tensor: Tensor, from: number, to: number): Slice {
  const perStep = BINDING_ALIGNMENT / tensor.vec4Bytes;
  const base = Math.floor(from / perStep) * perStep;
  return { tensor, byteOffset: tensor.vec4Bytes * base, byteLength: tensor.vec4Bytes * (to - base), base };
}

/** Bytes of an arena above which the next one is begun. */
const MAX_ARENA_BYTES = 2 ** 31 - BINDING_ALIGNMENT;

/**
 * Collects GPU work. Tensors made by `tensor()` are virtual: shape and label, no memory before `finish()`, which
 * places all of them by their lifetimes. Nothing is freed by hand.
 */
export class Recorder {
  readonly gpu: Gpu;
  readonly #nodes: Node[] = [];
  readonly #setup: Node[] = [];
  readonly #done: (() => void)[] = [];
  #inSetup = false;
  readonly #virtual = new Set<Storage>();
  readonly #watch: ((label: string) => boolean) | null;
  /** Tensors seen by `tap()` whose label is watched; they survive until the end of the plan. */
  readonly taps: Map<string, Tensor> = new Map();

  /** `watch` says which labels given to `tap()` to keep; none by default. */
  constructor(gpu: Gpu, watch: ((label: string) => boolean) | null = null) {
    this.gpu = gpu;
    this.#watch = watch;
  }

  /** A tensor without memory, for the outputs of a kernel. */
  tensor(shape: readonly number[], label: string): Tensor {
    const tensor = new Tensor(shape, label);
    this.#virtual.add(tensor.storage);
    return tensor;
  }

  /** Adds a dispatch of `kernel`. */
  run(kernel: Kernel, dispatch: Dispatch): void {
    const { maxBindingBytes } = this.gpu.facts;
    const given = Object.keys(dispatch.bindings);
    if (given.length !== kernel.bindingNames.length || given.some((n) => !kernel.bindingNames.includes(n))) {
      throw new TypeError(
        `Cannot run ${kernel.name} "${dispatch.label}": bindings [${given}] given, [${kernel.bindingNames}] wanted`,
      );
    }
    for (const [name, bound] of Object.entries(dispatch.bindings)) {
      const bytes = byteLength(bound);
      if (bytes > maxBindingBytes) {
        throw new LimitError(
          `Cannot run ${kernel.name} "${dispatch.label}": binding "${name}" has ${bytes} bytes, this GPU binds ${maxBindingBytes}`,
        );
      }
      if (!bound && kernel.declaration.bindings[name] !== "read") {
        throw new TypeError(`Cannot run ${kernel.name} "${dispatch.label}": output "${name}" is missing`);
      }
    }
    if (dispatch.workgroups.some((n) => !Number.isInteger(n) || n < 1 || n > 65535)) {
      throw new RangeError(
        `Cannot run ${kernel.name} "${dispatch.label}": workgroups [${dispatch.workgroups}], 1 to 65535 wanted`,
      );
    }
    const constants = { ...dispatch.constants, ...packedBindings(kernel, dispatch) };
    (this.#inSetup ? this.#setup : this.#nodes).push({ ...dispatch, constants, kernel });
  }

  /**
   * What `body` records runs once, when the plan is finished, and not at each replay; its tensors keep their values.
   * For what depends on weights and constant inputs alone. `done` is called when the plan is finished, so that a
   * caller who keeps the result for other plans knows that there is one.
   */
  once<T>(body: () => T, done?: () => void): T {
    if (done) this.#done.push(done);
    const outer = this.#inSetup;
    this.#inSetup = true;
    try {
      return body();
    } finally {
      this.#inSetup = outer;
    }
  }

  /** Names a tensor for tests and diagnosis; costs nothing unless its label is watched. */
  tap(label: string, tensor: Tensor): void {
    if (this.#watch?.(label)) this.taps.set(label, tensor);
  }

  /** The memory this recording needs, without allocating any. */
  layout(outputs: readonly Tensor[]): { storages: Storage[]; plan: ArenaPlan } {
    const storages: Storage[] = [], items: { byteLength: number; first: number; last: number }[] = [];
    const indexOf = new Map<Storage, number>();
    const apart: [number, number][] = [];
    const note = ({ kernel, bindings, label }: Node, at: number, pinned: boolean) => {
      const read: number[] = [], written: number[] = [];
      for (const [name, bound] of Object.entries(bindings)) {
        const storage = tensorOf(bound)?.storage;
        if (!storage || !this.#virtual.has(storage)) continue;
        const writes = kernel.declaration.bindings[name] !== "read";
        let index = indexOf.get(storage);
        if (index === undefined) {
          if (kernel.declaration.bindings[name] !== "write") {
            throw new TypeError(
              `Cannot run ${kernel.name} "${label}": "${name}" is read before anything wrote it`,
            );
          }
          index = items.push({
            byteLength: storage.byteLength,
            first: at,
            last: pinned ? this.#nodes.length : at,
          }) - 1;
          indexOf.set(storage, index);
          storages.push(storage);
        }
        items[index]!.last = Math.max(items[index]!.last, at);
        (writes ? written : read).push(index);
      }
      for (const w of written) for (const r of read) apart.push([w, r]);
    };
    for (const node of this.#setup) note(node, 0, true);
    this.#nodes.forEach((node, at) => note(node, at, false));
    for (const tensor of [...outputs, ...this.taps.values()]) {
      const index = indexOf.get(tensor.storage);
      if (index !== undefined) items[index]!.last = this.#nodes.length;
      else if (this.#virtual.has(tensor.storage)) {
        throw new TypeError(`Cannot finish: output "${tensor.label}" was never written`);
      }
    }
    const maxArenaBytes = Math.min(MAX_ARENA_BYTES, this.gpu.facts.maxBufferBytes);
    return { storages, plan: planArenas(items, { apart, alignment: BINDING_ALIGNMENT, maxArenaBytes }) };
  }

  /** Persistent tensors that `once()` fills; they get memory when the plan is finished. */
  #computedOnce(): Tensor[] {
    return this.#setup.flatMap(({ kernel, bindings }) =>
      Object.entries(bindings)
        .filter(([name]) => kernel.declaration.bindings[name] !== "read")
        .map(([, bound]) => tensorOf(bound)!)
        .filter(({ storage }) => !this.#virtual.has(storage))
    );
  }

  /** Compiles, allocates and binds everything. `outputs` (and watched taps) keep their values after a replay. */
  async finish(outputs: readonly Tensor[]): Promise<Plan> {
    const { gpu } = this;
    const { storages, plan } = this.layout(outputs);
    const all = [...this.#setup, ...this.#nodes];
    const kernels: CompiledKernel[] = [];
    for (const { kernel, constants } of all) kernels.push(await compile(gpu, kernel, constants));
    return await gpu.scoped("allocate and bind a plan", () => {
      using owned = new DisposableStack(); // frees what exists where something below fails
      const own = (buffer: GPUBuffer) => {
        owned.defer(() => buffer.destroy());
        return buffer;
      };
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      const arenas = plan.arenas.map((size, i) => own(gpu.createBuffer(size, usage, `arena ${i}`)));
      storages.forEach((storage, i) => {
        storage.buffer = arenas[plan.places[i]!.arena]!;
        storage.byteOffset = plan.places[i]!.byteOffset;
      });
      for (const tensor of this.#computedOnce()) gpu.allocate(tensor);
      const nothing = own(gpu.createBuffer(BINDING_ALIGNMENT, usage, "nothing"));
      const params = own(uploadParams(gpu, all));
      const nodes = all.map((node, i) => bindNode(gpu, node, { ...kernels[i]!, nothing, params, index: i }));
      const count = this.#setup.length;
      const finished = new Plan(nodes.slice(count), nodes.slice(0, count), [...arenas, nothing, params]);
      finished.prepare(gpu);
      for (const done of this.#done) done();
      owned.move();
      return finished;
    });
  }
}

interface NodeResources extends CompiledKernel {
  /** Bound where a binding was given null. */
  readonly nothing: GPUBuffer;
  /** Uniform blocks of all nodes; this one's is at `index`. */
  readonly params: GPUBuffer;
  readonly index: number;
}

function bindNode(
  gpu: Gpu,
  node: Node,
  { pipeline, layout, nothing, params, index }: NodeResources,
): PlanNode {
  const entries: GPUBindGroupEntry[] = node.kernel.bindingNames.map((name, binding) => ({
    binding,
    resource: resource(node, name, nothing),
  }));
  if (node.kernel.paramNames.length) {
    const offset = index * BINDING_ALIGNMENT;
    entries.push({
      binding: entries.length,
      resource: { buffer: params, offset, size: node.kernel.paramBytes },
    });
  }
  const group = gpu.device.createBindGroup({ layout, entries, label: node.label });
  const kernel = variantName(node.kernel, node.constants ?? {});
  return { pipeline, group, workgroups: node.workgroups, label: node.label, kernel };
}

/** All uniform blocks in one buffer, one per node at multiples of the alignment. */
function uploadParams(gpu: Gpu, nodes: readonly Node[]): GPUBuffer {
  const bytes = new Uint8Array(Math.max(1, nodes.length) * BINDING_ALIGNMENT);
  nodes.forEach(({ kernel, params }, i) => {
    bytes.set(new Uint8Array(kernel.packParams(params)), i * BINDING_ALIGNMENT);
  });
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const buffer = gpu.createBuffer(bytes.byteLength, usage, "params");
  gpu.device.queue.writeBuffer(buffer, 0, bytes);
  return buffer;
}

function tensorOf(bound: Bound): Tensor | null {
  return bound === null || bound instanceof Tensor ? bound : bound.tensor;
}

/** For each binding given packed f16, which the kernel must allow, the constant that says so. */
function packedBindings(kernel: Kernel, { bindings, label }: Dispatch): Record<string, "f16"> {
  const packed: Record<string, "f16"> = {};
  for (const [name, bound] of Object.entries(bindings)) {
    if (tensorOf(bound)?.dtype !== "f16") continue;
    if (!kernel.declaration.storage?.[name]) {
      throw new TypeError(`Cannot run ${kernel.name} "${label}": "${name}" is packed f16, f32 wanted`);
    }
    packed[name] = "f16";
  }
  return packed;
}

function byteLength(bound: Bound): number {
  return bound === null ? 0 : bound instanceof Tensor ? bound.storage.byteLength : bound.byteLength;
}

function resource(node: Node, name: string, nothing: GPUBuffer): GPUBufferBinding {
  const bound = node.bindings[name]!;
  const tensor = tensorOf(bound);
  if (!tensor) return { buffer: nothing };
  const { buffer, byteOffset } = tensor.storage;
  if (!buffer) {
    throw new TypeError(
      `Cannot bind "${tensor.label}" to "${name}" of "${node.label}": it was never given data`,
    );
  }
  const inner = bound instanceof Tensor ? 0 : (bound as Slice).byteOffset;
  return { buffer, offset: byteOffset + inner, size: byteLength(bound) };
}
