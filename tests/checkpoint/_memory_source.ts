import type { WeightPart } from "../../src/checkpoint/weight_parts.ts";
import type { WeightSource } from "../../src/checkpoint/weight_source.ts";

/** Weights held in memory; `reads` lists the names in the order they were read. */
export class MemorySource implements WeightSource {
  readonly description: string;
  readonly reads: string[] = [];
  readonly #tensors: ReadonlyMap<
    string,
    { shape: readonly number[]; dtype: string; data: Float32Array<ArrayBuffer> }
  >;

  constructor(
    tensors: Readonly<
      Record<string, { shape: readonly number[]; dtype?: string; data: ArrayLike<number> }>
    >,
    description = "memory",
  ) {
    this.description = description;
    this.#tensors = new Map(
      Object.entries(tensors).map(([name, { shape, dtype = "F32", data }]) => [
        name,
        { shape, dtype, data: Float32Array.from(data) },
      ]),
    );
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  shape(name: string): readonly number[] | undefined {
    return this.#tensors.get(name)?.shape;
  }

  dtype(name: string): string | undefined {
    return this.#tensors.get(name)?.dtype;
  }

  names(): Iterable<string> {
    return this.#tensors.keys();
  }

  read(name: string): Promise<Float32Array<ArrayBuffer>> {
    this.reads.push(name);
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new RangeError(`Cannot read tensor "${name}": there is none`);
    return Promise.resolve(tensor.data.slice());
  }

  async *parts(name: string): AsyncGenerator<WeightPart> {
    yield { values: await this.read(name), begin: 0 };
  }
}
