import { escapeName } from "../text/escape_name.ts";
import { CheckpointError, quote } from "./errors.ts";
import { olderName } from "./renames.ts";
import { isWeightDType, WANTED_DTYPES } from "./weight_dtype.ts";
import { PartMemory, type WeightPart } from "./weight_parts.ts";
import type { WeightSource } from "./weight_source.ts";

/** What is done with a tensor's data. */
export interface WeightUse {
  /** Each part but the last holds a multiple of so many values; default all values in one part. */
  readonly unit?: number;
  /** Gets the parts in order, each once, in `load()`. */
  readonly use: (part: WeightPart) => void | Promise<void>;
}

/** A request for one tensor; the data comes later, in `load()`. */
interface WeightRequest extends WeightUse {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What all views of one source share. */
class Ledger {
  readonly source: WeightSource;
  readonly requests = new Map<string, WeightRequest>();
  readonly ignored: string[] = [];
  loaded = false;

  constructor(source: WeightSource) {
    this.source = source;
  }

  /** The name under which the source holds `name`: itself, an older one, or undefined. */
  find(name: string): string | undefined {
    if (this.source.has(name)) return name;
    const older = olderName(name);
    return older !== undefined && this.source.has(older) ? older : undefined;
  }
}

/**
 * A place in a checkpoint from which a network is built: layers say which tensors they want, and `load()` later
 * checks all requests at once and hands out the data. Views made by `at` share one list of requests.
 */
export class WeightView {
  readonly #ledger: Ledger;
  readonly #path: string;

  constructor(source: WeightSource | Ledger, path = "") {
    this.#ledger = source instanceof Ledger ? source : new Ledger(source);
    this.#path = path;
  }

  /** The view at `path` below this one: `view.at("resnets").at(0)` sees "resnets.0". */
  at(path: string | number): WeightView {
    return new WeightView(this.#ledger, this.#name(String(path)));
  }

  /** Whether the source has tensor `name` here, under today's name or an older one. */
  has(name: string): boolean {
    return this.#ledger.find(this.#name(name)) !== undefined;
  }

  /**
   * Says that the network wants tensor `name` with `shape` (PyTorch's order), and what for; the data is row-major. Where a linear layer wants [M, N], a stored 1×1 convolution [M, N, 1, 1] is the same and accepted.
   */
  tensor(name: string, shape: readonly number[], use: WeightUse): void {
    const full = this.#name(name);
    if (this.#ledger.loaded) {
      throw new Error(`Cannot ask for tensor "${full}": the weights are loaded already`);
    }
    if (this.#ledger.requests.has(full)) throw new Error(`Cannot ask for tensor "${full}" twice`);
    this.#ledger.requests.set(full, { name: full, shape, ...use });
  }

  /** Says that tensors below `prefix` are left out on purpose, so that they do not count as unexpected. */
  ignore(prefix: string): void {
    this.#ledger.ignored.push(this.#name(prefix));
  }

  /**
   * Checks all requests against the source, then reads part after part and hands each on before the next is read into
   * the same memory. Throws one CheckpointError that lists all `problems()`, before
   * any data is read.
   */
  async load(): Promise<void> {
    const { source, requests } = this.#ledger;
    if (this.#ledger.loaded) throw new Error(`Cannot load weights of "${source.description}" twice`);
    const problems = this.problems();
    if (problems.length > 0) throw misfitError(source.description, problems);
    this.#ledger.loaded = true;
    const memory = new PartMemory();
    for (const { name, unit = Infinity, use } of requests.values()) {
      for await (const part of source.parts(this.#ledger.find(name)!, { unit, memory })) await use(part);
    }
  }

  /** One sentence for every tensor that is missing, misshapen, of a type that is not read, or unexpected. */
  problems(): string[] {
    const { source, requests, ignored } = this.#ledger;
    const problems: string[] = [];
    const used = new Set<string>();
    for (const { name, shape } of requests.values()) {
      const stored = this.#ledger.find(name);
      if (stored === undefined) {
        problems.push(`missing: ${quote(name)}, wanted ${showShape(shape)}`);
        continue;
      }
      used.add(stored);
      const found = source.shape(stored)!;
      if (!fits(found, shape)) {
        problems.push(`misshapen: ${quote(stored)}, found ${showShape(found)}, wanted ${showShape(shape)}`);
      }
      const dtype = source.dtype(stored)!;
      if (!isWeightDType(dtype)) {
        problems.push(`mistyped: ${quote(stored)}, found ${dtype}, wanted ${WANTED_DTYPES}`);
      }
    }
    for (const name of source.names()) {
      if (used.has(name) || isBookkeeping(name)) continue;
      if (ignored.some((prefix) => name === prefix || name.startsWith(`${prefix}.`))) continue;
      problems.push(`unexpected: ${quote(name)}, found ${showShape(source.shape(name)!)}`);
    }
    return problems;
  }

  #name(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }
}

/** The error for `problems()` of the weights called `what`. */
export function misfitError(what: string, problems: readonly string[]): CheckpointError {
  return new CheckpointError(
    `Cannot load "${
      escapeName(what)
    }": its tensors do not fit its configuration; take both from one model, with weights in ` +
      WANTED_DTYPES,
    problems,
  );
}

/** PyTorch's batch norms count their training batches; no forward pass uses that. */
function isBookkeeping(name: string): boolean {
  return name.endsWith(".num_batches_tracked");
}

function fits(found: readonly number[], wanted: readonly number[]): boolean {
  const padded = wanted.length === 2 && found.length === 4 ? [...wanted, 1, 1] : wanted;
  return found.length === padded.length && found.every((size, i) => size === padded[i]);
}

function showShape(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}
