import {
  compareVariants,
  type Contest,
  fillWithNumbers,
  isDispatchable,
  knownVariant,
  type Variant,
} from "./autotune.ts";
import { BINDING_ALIGNMENT, type Gpu } from "./device.ts";
import {
  byteLength,
  type Choice,
  type Dispatch,
  type RecordedDispatch as Node,
  type Slice,
  tensorOf,
  toSlice,
} from "./dispatch.ts";
import { LimitError } from "./errors.ts";
import { type Layout, layOut, matchArenas } from "./layout.ts";
import { compile, type CompiledKernel, type Kernel, variantName } from "./kernel.ts";
import { Plan, type PlanNode, type ScratchSizes, scratchSizes } from "./plan.ts";
import { timeNodes } from "./profile.ts";
import { type Storage, type StorageKind, Tensor } from "./tensor.ts";

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
  readonly #step: Node[] = [];
  /** What `run()` adds to. */
  #target = this.#nodes;
  readonly #done: (() => void)[] = [];
  /** By the index of the node: variants whose fastest is not known. */
  readonly #contested = new Map<number, { readonly variants: readonly Variant[]; readonly choice: Choice }>();
  /** Virtual tensors by their storages. */
  readonly #virtual = new Map<Storage, Tensor>();
  readonly #watch: ((label: string) => boolean) | null;
  /** Tensors seen by `tap()` whose label is watched; they survive until the end of the plan. */
  readonly taps: Map<string, Tensor> = new Map();

  /** `watch` says which labels given to `tap()` to keep; none by default. */
  constructor(gpu: Gpu, watch: ((label: string) => boolean) | null = null) {
    this.gpu = gpu;
    this.#watch = watch;
  }

  /** A tensor without memory, for the outputs of a kernel. */
  tensor(shape: readonly number[], label: string, options: { readonly inTexture?: boolean } = {}): Tensor {
    const tensor = new Tensor(shape, label, options);
    this.#virtual.set(tensor.storage, tensor);
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
      if (bytes > maxBindingBytes && !tensorOf(bound)?.inTexture) {
        throw new LimitError(
          `Cannot run ${kernel.name} "${dispatch.label}": binding "${name}" has ${bytes} bytes, this GPU binds ${maxBindingBytes}`,
        );
      }
      if (!bound && kernel.declaration.bindings[name] !== "read") {
        throw new TypeError(`Cannot run ${kernel.name} "${dispatch.label}": output "${name}" is missing`);
      }
    }
    if (!isDispatchable(dispatch.workgroups)) {
      throw new RangeError(
        `Cannot run ${kernel.name} "${dispatch.label}": workgroups [${dispatch.workgroups}], 1 to 65535 wanted`,
      );
    }
    const constants = { ...dispatch.constants, ...storageKinds(kernel, dispatch) };
    this.#target.push({ ...dispatch, constants, kernel });
  }

  /**
   * Adds a dispatch by one of several variants that give the same bytes and have the same bindings and params: the one
   * that `gpu.tuning` knows to be the fastest, else the first that does not take too many workgroups. If `gpu.tuning`
   * has a budget, `finish()` finds out which one is.
   */
  runOneOf(variants: readonly Variant[], choice: Choice): void {
    const { tuning } = this.gpu;
    const known = knownVariant(tuning, choice.key, variants);
    const usable = variants.filter(({ workgroups }) => isDispatchable(workgroups));
    const chosen = known && usable.includes(known) ? known : usable[0] ?? variants[0]!;
    this.run(chosen.kernel, dispatchOf(choice, chosen));
    if (!known && usable.length > 1 && tuning.budgetMs > 0 && this.#target === this.#nodes) {
      this.#contested.set(this.#nodes.length - 1, { variants, choice });
    }
  }

  /**
   * What `body` records runs once, when the plan is finished, and not at each replay; its tensors keep their values.
   * For what depends on weights and constant inputs alone. `done` is called when the plan is finished, so that a
   * caller who keeps the result for other plans knows that there is one.
   */
  once<T>(body: () => T, done?: () => void): T {
    if (done) this.#done.push(done);
    return this.#recordInto(this.#setup, body);
  }

  /**
   * What `body` records runs when the plan is finished and at each `Plan.beginStep()`, not at each replay; its tensors
   * keep their values. For what depends on inputs that change seldom, such as the timestep.
   */
  stepwise<T>(body: () => T): T {
    return this.#recordInto(this.#target === this.#setup ? this.#setup : this.#step, body);
  }

  #recordInto<T>(target: Node[], body: () => T): T {
    const outer = this.#target;
    this.#target = target;
    try {
      return body();
    } finally {
      this.#target = outer;
    }
  }

  /** Names a tensor for tests and diagnosis; costs nothing unless its label is watched. */
  tap(label: string, tensor: Tensor): void {
    if (this.#watch?.(label)) this.taps.set(label, tensor);
  }

  /** The memory this recording needs, without allocating any. */
  layout(outputs: readonly Tensor[]): Layout {
    return layOut({ kept: [...this.#setup, ...this.#step], replayed: this.#nodes }, {
      virtual: this.#virtual,
      outputs: [...outputs, ...this.taps.values()],
      maxArenaBytes: Math.min(MAX_ARENA_BYTES, this.gpu.facts.maxBufferBytes),
    });
  }

  /**
   * Bytes of what `finish()` would make for the plan, without making it, and the sizes of what other plans may share;
   * the recording then counts as finished. What `once()` computes into persistent tensors is not
   * the plan's.
   */
  dryRun(
    outputs: readonly Tensor[],
    { scratch: shared }: { readonly scratch?: ScratchSizes | undefined } = {},
  ): { byteLength: number; scratch: ScratchSizes } {
    const { plan: { arenas }, scratchArenas, textures: { sizes: textures } } = this.layout(outputs);
    for (const done of this.#done) done();
    const scratch = { arenas: arenas.slice(0, scratchArenas), textures };
    const matches = matchScratch(scratch, shared);
    const own = [
      ...arenas.filter((_, i) => (matches.arenas[i] ?? -1) < 0),
      ...textures.filter((_, i) => matches.textures[i]! < 0),
    ];
    const nodes = this.#setup.length + this.#step.length + this.#nodes.length;
    return { byteLength: own.reduce((a, b) => a + b, 0) + BINDING_ALIGNMENT + paramsBytes(nodes), scratch };
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

  /**
   * Compiles, allocates and binds everything. `outputs` (and watched taps) keep their values after a replay, with
   * `scratchOf` until that other plan is replayed: then its arenas are used where they are large enough.
   */
  async finish(
    outputs: readonly Tensor[],
    { scratchOf }: { readonly scratchOf?: Plan | undefined } = {},
  ): Promise<Plan> {
    const { gpu } = this;
    const { storages, plan, scratchArenas, textures: inTextures } = this.layout(outputs);
    const all = [...this.#setup, ...this.#step, ...this.#nodes];
    const kernels: CompiledKernel[] = [];
    for (const { kernel, constants } of all) kernels.push(await compile(gpu, kernel, constants));
    return await gpu.scoped("allocate and bind a plan", async () => {
      using owned = new DisposableStack(); // frees what exists where something below fails
      const made: (GPUBuffer | GPUTexture)[] = [];
      function own<T extends GPUBuffer | GPUTexture>(memory: T): T {
        owned.defer(() => memory.destroy());
        made.push(memory);
        return memory;
      }
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      const matches = matchScratch(
        { arenas: plan.arenas.slice(0, scratchArenas), textures: inTextures.sizes },
        scratchOf && scratchSizes(scratchOf.scratch),
      );
      const arenas = plan.arenas.map((size, i) => {
        const shared = scratchOf?.scratch.arenas[matches.arenas[i] ?? -1];
        if (shared) return shared;
        const largest = storages.filter((_, s) => plan.places[s]!.arena === i)
          .reduce((a, b) => b.byteLength > a.byteLength ? b : a);
        return own(gpu.createBuffer(size, usage, `arena with ${this.#virtual.get(largest)!.label}`));
      });
      storages.forEach((storage, i) => {
        storage.buffer = arenas[plan.places[i]!.arena]!;
        storage.byteOffset = plan.places[i]!.byteOffset;
      });
      const textures = inTextures.sizes.map((byteLength, i) => {
        const { label } = this.#virtual.get(inTextures.storages[inTextures.places.indexOf(i)]!)!;
        return scratchOf?.scratch.textures[matches.textures[i]!] ??
          own(gpu.createTexture({ dtype: "f32", label: `texture with ${label}`, byteLength }));
      });
      inTextures.storages.forEach((storage, i) => storage.texture = textures[inTextures.places[i]!]!);
      for (const tensor of this.#computedOnce()) gpu.allocate(tensor);
      const nothing = own(gpu.createBuffer(BINDING_ALIGNMENT, usage, "nothing"));
      const params = own(uploadParams(gpu, all));
      const nodes = all.map((node, i) => bindNode(gpu, node, { ...kernels[i]!, nothing, params, index: i }));
      const setup = nodes.splice(0, this.#setup.length), step = nodes.splice(0, this.#step.length);
      const finished = new Plan({ setup, step, nodes }, {
        own: made,
        scratch: { arenas: arenas.slice(0, scratchArenas), textures },
      });
      if (this.#contested.size > 0) fillWithNumbers(gpu, arenas);
      finished.prepare(gpu);
      await this.#settleContests(nodes, { nothing, params });
      for (const done of this.#done) done();
      owned.move();
      return finished;
    });
  }

  /** Compares the variants of contested nodes and puts those in their place that are known to be the fastest then. */
  async #settleContests(
    nodes: PlanNode[],
    shared: Pick<NodeResources, "nothing" | "params">,
  ): Promise<void> {
    const { gpu } = this;
    const contests = new Map<string, Contest>();
    const prepare = async (at: number, choice: Choice, variant: Variant) => {
      const dispatch = dispatchOf(choice, variant), { kernel } = variant;
      const constants = { ...dispatch.constants, ...storageKinds(kernel, dispatch) };
      const compiled = await compile(gpu, kernel, constants);
      const index = this.#setup.length + this.#step.length + at;
      return bindNode(gpu, { ...dispatch, kernel, constants }, { ...compiled, ...shared, index });
    };
    for (const [at, { variants, choice }] of this.#contested) {
      const { key, work } = choice;
      const contest = contests.get(key) ??
        { key, variants, work, totalWork: 0, prepare: (variant: Variant) => prepare(at, choice, variant) };
      contests.set(key, { ...contest, totalWork: contest.totalWork + work });
    }
    const { tuning } = gpu;
    const time = (entrants: readonly PlanNode[]) => timeNodes(gpu, entrants);
    await compareVariants([...contests.values()], { tuning, time, now: () => performance.now() });
    for (const [at, { variants, choice }] of this.#contested) {
      const fastest = knownVariant(tuning, choice.key, variants);
      if (fastest && isDispatchable(fastest.workgroups)) nodes[at] = await prepare(at, choice, fastest);
    }
  }
}

function dispatchOf({ key: _key, work: _work, ...dispatch }: Choice, variant: Variant): Dispatch {
  const { constants, workgroups } = variant;
  return { ...dispatch, constants: { ...constants, ...dispatch.constants }, workgroups };
}

/** Which of another plan's arenas and textures serve for each of these, or -1. */
function matchScratch(
  { arenas, textures }: ScratchSizes,
  shared: ScratchSizes = { arenas: [], textures: [] },
): { arenas: number[]; textures: number[] } {
  return {
    arenas: matchArenas(arenas, shared.arenas),
    textures: matchArenas(textures, shared.textures),
  };
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
  const bound = node.kernel.bindingNames.flatMap((name) => {
    const slice = toSlice(node.bindings[name]!);
    return slice ? [{ slice, access: node.kernel.declaration.bindings[name] }] : [];
  });
  return {
    pipeline,
    group,
    workgroups: node.workgroups,
    label: node.label,
    kernel,
    reads: bound.filter(({ access }) => access !== "write").map(({ slice }) => slice),
    writes: bound.filter(({ access }) => access !== "read").map(({ slice }) => slice),
  };
}

/** All uniform blocks in one buffer, one per node at multiples of the alignment. */
function uploadParams(gpu: Gpu, nodes: readonly Node[]): GPUBuffer {
  const bytes = new Uint8Array(paramsBytes(nodes.length));
  nodes.forEach(({ kernel, params }, i) => {
    bytes.set(new Uint8Array(kernel.packParams(params)), i * BINDING_ALIGNMENT);
  });
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const buffer = gpu.createBuffer(bytes.byteLength, usage, "params");
  gpu.device.queue.writeBuffer(buffer, 0, bytes);
  return buffer;
}

function paramsBytes(nodes: number): number {
  return Math.max(1, nodes) * BINDING_ALIGNMENT;
}

/** For each binding given packed f16 or a texture, which the kernel must allow, the constant that says so. */
function storageKinds(kernel: Kernel, { bindings, label }: Dispatch): Record<string, StorageKind> {
  const kinds: Record<string, StorageKind> = {};
  for (const [name, bound] of Object.entries(bindings)) {
    const tensor = tensorOf(bound);
    if (!tensor || tensor.storageKind === "f32") continue;
    if (!kernel.declaration.storage?.[name]) {
      const problem = tensor.inTexture ? "in a texture, a buffer wanted" : "packed f16, f32 wanted";
      throw new TypeError(`Cannot run ${kernel.name} "${label}": "${name}" is ${problem}`);
    }
    kinds[name] = tensor.storageKind;
  }
  return kinds;
}

function resource(node: Node, name: string, nothing: GPUBuffer): GPUBindingResource {
  const bound = node.bindings[name]!;
  const tensor = tensorOf(bound);
  if (!tensor) return { buffer: nothing };
  const { buffer, texture, byteOffset } = tensor.storage;
  if (texture) return texture.createView();
  if (!buffer) {
    throw new TypeError(
      `Cannot bind "${tensor.label}" to "${name}" of "${node.label}": it was never given data`,
    );
  }
  const inner = bound instanceof Tensor ? 0 : (bound as Slice).byteOffset;
  return { buffer, offset: byteOffset + inner, size: byteLength(bound) };
}
