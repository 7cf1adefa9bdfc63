import type { WeightSource } from "../../src/checkpoint/weight_source.ts";

/** Weights held in memory; `reads` lists the names in the order they were read. */
export class MemorySource implements WeightSource {
  readonly description: string;
  readonly reads: string[] = [];
  readonly #tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;

  constructor(
    tensors: Readonly<Record<string, { shape: readonly number[]; data: ArrayLike<number> }>>,
    description = "memory",
  ) {
    this.description = description;
    this.#tensors = new Map(
      Object.entries(tensors).map((
        [name, { shape, data }],
      ) => [name, { shape, data: Float32Array.from(data) }]),
    );
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  shape(name: string): readonly number[] | undefined {
    return this.#tensors.get(name)?.shape;
  }

  names(): Iterable<string> {
    return this.#tensors.keys();
  }

  read(name: string): Promise<Float32Array> {
    this.reads.push(name);
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new RangeError(`Cannot read tensor "${name}": there is none`);
    return Promise.resolve(tensor.data.slice());
  }
}
