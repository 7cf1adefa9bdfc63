import { escapeName } from "../text/escape_name.ts";
import { CheckpointError, quote } from "./errors.ts";
import { readSafetensorsHeader, type TensorInfo } from "./safetensors_header.ts";
import { type ByteSource, UnchangedFile } from "./unchanged_file.ts";
import { isWeightDType, WANTED_DTYPES } from "./weight_dtype.ts";
import { nonFiniteProblem, type PartOptions, readParts, readWhole, type WeightPart } from "./weight_parts.ts";

/** An open safetensors file whose header has been checked; tensor data is read on demand, one range at a time. */
export class SafetensorsFile implements Disposable {
  /** What errors call the file. */
  readonly label: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #source: ByteSource;

  private constructor(
    source: ByteSource,
    { label, tensors }: { label: string; tensors: ReadonlyMap<string, TensorInfo> },
  ) {
    this.#source = source;
    this.label = label;
    this.tensors = tensors;
  }

  /**
   * Opens `path` and checks its header. `label` is what errors call the file. Throws CheckpointError for a broken
   * file, and an Error with Deno's as its cause if it cannot be opened.
   */
  static async open(path: string, label: string = escapeName(path)): Promise<SafetensorsFile> {
    return await SafetensorsFile.from(await UnchangedFile.open(path, label), label);
  }

  /** Takes over `source`, which errors call `label`, and checks its header. Throws CheckpointError. */
  static async from(source: ByteSource, label: string): Promise<SafetensorsFile> {
    try {
      return new SafetensorsFile(source, { label, tensors: await readSafetensorsHeader(source, label) });
    } catch (error) {
      source[Symbol.dispose]();
      throw error;
    }
  }

  /** Reads tensor `name` as float32, row-major; otherwise as `parts`. */
  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    return await readWhole((options) => this.parts(name, options));
  }

  /**
   * Reads tensor `name` (F32, F16 or BF16), row-major. Allocates what the header says a part takes, so compare the
   * tensor's shape with what is wanted first.
   * Throws CheckpointError for another type, for NaN or infinity, or if the file has changed since it was opened.
   */
  async *parts(name: string, options: PartOptions): AsyncGenerator<WeightPart> {
    const { dtype, begin, end } = this.#info(name);
    if (!isWeightDType(dtype)) {
      throw this.#error(name, `type ${dtype}, wanted ${WANTED_DTYPES}; convert the weights`);
    }
    for await (const part of readParts(this.#source, { dtype, begin, end, ...options })) {
      const problem = nonFiniteProblem(part);
      if (problem !== null) throw this.#error(name, problem);
      yield part;
    }
  }

  /** Reads the bytes of tensor `name`, of any type, as stored. */
  async readBytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const { begin, end } = this.#info(name);
    return await this.#source.read(begin, end);
  }

  close(): void {
    this.#source[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info === undefined) throw this.#error(name, "there is none of that name");
    return info;
  }

  #error(name: string, reason: string): CheckpointError {
    return new CheckpointError(`Cannot read tensor ${quote(name)} of "${this.label}": ${reason}`);
  }
}
