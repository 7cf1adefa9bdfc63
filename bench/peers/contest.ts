import { join } from "node:path";
import { summarise, type Timing } from "../statistics.ts";
import type { Contestant } from "./contestant.ts";
import { expectedSamples, relativeError } from "./oracle.ts";
import type { RunTime } from "./serve.ts";
import { type Inputs, type Work, workInputs } from "./work.ts";

/** Largest relative error of one link. f32 sums of up to 9,216 products in any order, by Winograd too, are within 2e-6. */
const TOLERANCE = 1e-5;
/** A contestant's turn in a round lasts this long, or one run of each chain: quick ones repeat. */
const TURN_MS = 500;

/** How to time: a turn each per round, with chains of one link and of `links`. */
export interface ContestOptions {
  readonly links: number;
  readonly rounds: number;
  /** An empty folder for the files that contestants read and write. */
  readonly directory: string;
}

/** What a contestant made of a work: times of one link, or the reason why there are none. */
export type Outcome =
  | { readonly contestant: Contestant; readonly failure: string }
  | {
    readonly contestant: Contestant;
    readonly failure: null;
    readonly wall: Timing;
    readonly cpu: Timing;
    /** Of one link against float64: root mean square, relative. */
    readonly error: number;
  };

interface Runner {
  readonly contestant: Contestant;
  error: number;
  failure: string | null;
  readonly slopes: RunTime[];
}

/**
 * Has all contestants compute `work`, checks the results, then times them in turn. The output of one link is compared
 * with a float64 sample, that of the longer chain with the first contestant's that passed.
 */
export async function contest(
  work: Work,
  contestants: readonly Contestant[],
  { links, rounds, directory }: ContestOptions,
): Promise<Outcome[]> {
  const inputs = workInputs(work), expected = expectedSamples(work, inputs);
  const files = writeInputs(inputs, directory);
  const runners: Runner[] = contestants.map((contestant) => ({
    contestant,
    error: 0,
    failure: null,
    slopes: [],
  }));
  const output = join(directory, "output");
  let reference: Float32Array | null = null;

  async function outputOf({ contestant }: Runner, count: number): Promise<Float32Array> {
    await contestant.ask({ do: "prepare", work, links: count, inputs: files, output });
    return new Float32Array(Deno.readFileSync(output).buffer);
  }

  for (const runner of runners) {
    await attempt(runner, async () => {
      const first = await outputOf(runner, 1);
      const sample = expected.indices.map((at) => first[at] ?? NaN);
      runner.error = checkedError(sample, { wanted: expected.values, links: 1 });
      const last = await outputOf(runner, links);
      checkedError(last, { wanted: reference ?? last, links });
      reference ??= last;
    });
  }
  for (let round = 0; round < rounds; round++) {
    for (const runner of runners) {
      await attempt(runner, async () => {
        runner.slopes.push(await turn(runner.contestant, links));
      });
    }
  }
  for (const runner of runners) {
    const { contestant } = runner;
    await attempt(runner, async () => void await contestant.ask({ do: "free" }));
    if (runner.failure && contestant.loaded) await contestant.restart();
  }
  return runners.map(outcome);
}

/** Time of one link, from medians of a chain of one and of `links`, in alternation for a while. */
async function turn(contestant: Contestant, links: number): Promise<RunTime> {
  const short: RunTime[] = [], long: RunTime[] = [];
  const end = performance.now() + TURN_MS;
  do {
    short.push(await contestant.ask({ do: "time", links: 1 }) as RunTime);
    long.push(await contestant.ask({ do: "time", links }) as RunTime);
  } while (performance.now() < end);
  function slope(unit: keyof RunTime): number {
    const [one, many] = [short, long].map((times) => summarise(times.map((time) => time[unit])).medianMs);
    return (many! - one!) / (links - 1);
  }
  return { wallMs: slope("wallMs"), cpuMs: slope("cpuMs") };
}

/** The error of `actual`; throws if it is too large for a chain of `links`. */
function checkedError(
  actual: ArrayLike<number>,
  { wanted, links }: { readonly wanted: ArrayLike<number>; readonly links: number },
): number {
  const error = relativeError(actual, wanted), allowed = links * TOLERANCE;
  if (error <= allowed) return error;
  throw new Error(
    `wrong numbers: relative error ${error.toExponential(1)} in a chain of ${links}, ${
      allowed.toExponential(0)
    } allowed`,
  );
}

/** Does `body` unless the runner has failed before; an error is its failure, not ours. */
async function attempt(runner: Runner, body: () => Promise<void>): Promise<void> {
  if (runner.failure) return;
  try {
    await body();
  } catch (error) {
    runner.failure = error instanceof Error ? error.message : String(error);
  }
}

function outcome({ contestant, error, failure, slopes }: Runner): Outcome {
  if (failure) return { contestant, failure };
  const wall = slopes.map(({ wallMs }) => wallMs), cpu = slopes.map(({ cpuMs }) => cpuMs);
  if ([...wall, ...cpu].some((ms) => !(ms > 0))) {
    return { contestant, failure: "too fast for this chain: lengthen it with --links" };
  }
  return { contestant, failure: null, wall: summarise(wall), cpu: summarise(cpu), error };
}

function writeInputs(
  inputs: Inputs,
  directory: string,
): Record<string, { shape: readonly number[]; path: string }> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, data }]) => {
      const path = join(directory, name);
      Deno.writeFileSync(path, new Uint8Array(data.buffer));
      return [name, { shape, path }];
    }),
  );
}
