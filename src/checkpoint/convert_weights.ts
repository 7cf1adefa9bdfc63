import { CheckpointError, quote } from "./errors.ts";
import { todaysName } from "./renames.ts";
import { HALF_OVERFLOW, isWeightDType, WANTED_DTYPES } from "./weight_dtype.ts";
import type { WeightSource } from "./weight_source.ts";

/** Whole numbers that no network reads: counts of training batches, and 0, 1, 2, ... */
const WITHOUT_USE = /(?:^|\.)(?:num_batches_tracked|position_ids)$/;
/** Tables that are looked up, not multiplied, and the last convolutions of RAFT's encoders, which are kept in parts. */
const ALWAYS_FLOAT32 =
  /(?:^|\.)(?:(?:class|token|position)_embedding|(?:context|feature)_encoder\.conv)\.weight$/;

/** Weights as a converted file holds them. */
export interface ConvertedWeights {
  /** Sizes by today's name, in the order to be written: float32 first, so that all data is aligned. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Names of those to be written as float16. */
  readonly halves: ReadonlySet<string>;
  /** Names of those that stay float32 because float16 does not reach their values. */
  readonly tooLarge: readonly string[];
  /** Bytes of all data. */
  readonly byteLength: number;
  /** Reads the tensors in that order; only one is in memory at a time. */
  values(): AsyncGenerator<Float32Array>;
}

/**
 * Plans how the weights of `source` are written with today's names. With `precision` "f16" the tensors become float16
 * which `upscale --precision f16` keeps so on the GPU, so that rounding them changes nothing there; values are read
 * once to see that float16 reaches them. With "f32" none is rounded. What is float16 already stays so with both.
 *
 * Throws CheckpointError that lists tensors of types that weights cannot have, and the reason of `signal` once that
 * is aborted. Whether the tensors are those that a network wants is not looked at.
 */
export async function convertWeights(
  source: WeightSource,
  { precision, signal }: { readonly precision: "f16" | "f32"; readonly signal?: AbortSignal },
): Promise<ConvertedWeights> {
  const names = [...source.names()].filter((name) => !WITHOUT_USE.test(name));
  checkTypes(source, names);
  const halves: string[] = [], floats: string[] = [], tooLarge: string[] = [];
  for (const name of names) {
    signal?.throwIfAborted();
    if (source.dtype(name) === "F16") halves.push(name);
    else if (precision === "f32" || !isHalved(name, source.shape(name)!)) floats.push(name);
    else if (await exceedsHalf(source, name)) tooLarge.push(name);
    else halves.push(name);
  }
  const order = [...floats, ...tooLarge, ...halves];
  return {
    shapes: new Map(order.map((name) => [nameIn(source, name), source.shape(name)!])),
    halves: new Set(halves.map((name) => nameIn(source, name))),
    tooLarge: tooLarge.map((name) => nameIn(source, name)),
    byteLength: 4 * sizeOf(source, [...floats, ...tooLarge]) + 2 * sizeOf(source, halves),
    async *values() {
      for (const name of order) {
        signal?.throwIfAborted();
        yield await source.read(name);
      }
    },
  };
}

/** Whether networks keep a tensor of that name and shape as float16 on the GPU where they are told to. */
export function isHalved(name: string, shape: readonly number[]): boolean {
  return shape.length >= 2 && !ALWAYS_FLOAT32.test(name);
}

function checkTypes(source: WeightSource, names: readonly string[]): void {
  const problems = names
    .filter((name) => !isWeightDType(source.dtype(name)!))
    .map((name) => `mistyped: ${quote(name)}, found ${source.dtype(name)}, wanted ${WANTED_DTYPES}`);
  if (problems.length === 0) return;
  throw new CheckpointError(
    `Cannot convert "${source.description}": it holds tensors that are no weights; get the file again from the ` +
      `model's source`,
    problems,
  );
}

/** Today's name, unless the file holds a tensor of that name as well. */
function nameIn(source: WeightSource, name: string): string {
  const today = todaysName(name);
  return today === undefined || source.has(today) ? name : today;
}

async function exceedsHalf(source: WeightSource, name: string): Promise<boolean> {
  return (await source.read(name)).some((value) => Math.abs(value) >= HALF_OVERFLOW);
}

/** Values of all tensors `names` together. */
function sizeOf(source: WeightSource, names: readonly string[]): number {
  return names.reduce((sum, name) => sum + source.shape(name)!.reduce((a, b) => a * b, 1), 0);
}
