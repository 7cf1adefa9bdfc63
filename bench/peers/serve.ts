import process from "node:process";
import { readLines } from "./read_lines.ts";
import type { Inputs, Work } from "./work.ts";

/** A work repeated `links` times on its own output, ready to run: compiled, weights prepared, input uploaded. */
export interface Chain {
  /** Runs once from the input and waits for the end. */
  run(): Promise<void>;
  /** The last run's output, in the order of axes of `Inputs`. */
  read(): Promise<Float32Array>;
  free(): void | Promise<void>;
}

/** A library, or our own kernels, behind one face. */
export interface Peer {
  /** Name, version and device as printed. */
  readonly about: string;
  prepare(work: Work, options: { readonly inputs: Inputs; readonly links: number }): Promise<Chain>;
}

/** A line from the parent. Every one is answered by one line of JSON: `{}`, times, or `{ error }`. */
export type Request =
  | {
    readonly do: "prepare";
    readonly work: Work;
    readonly links: number;
    /** Raw float32 files by input name. */
    readonly inputs: Readonly<Record<string, { readonly shape: readonly number[]; readonly path: string }>>;
    /** Where to write the output of the warm-up run. */
    readonly output: string;
  }
  | { readonly do: "time"; readonly links: number }
  | { readonly do: "free" };

/** Answer to "time": wall-clock and the whole process's CPU time, user and system, of one run. */
export interface RunTime {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** Runs of a chain before it is timed: the first compiles. */
const WARM_UP_RUNS = 2;

/** Answers the parent's requests on standard input until it ends. `open` loads the peer. */
export async function serve(open: () => Promise<Peer>): Promise<never> {
  const chains = new Map<number, Chain>();
  let peer: Peer | undefined;

  async function answer(request: Request): Promise<object> {
    switch (request.do) {
      case "prepare": {
        const { work, links } = request, inputs = readInputs(request);
        const chain = await peer!.prepare(work, { inputs, links });
        chains.set(links, chain);
        for (let i = 0; i < WARM_UP_RUNS; i++) await chain.run();
        Deno.writeFileSync(request.output, new Uint8Array((await chain.read()).slice().buffer));
        return {};
      }
      case "time":
        return await time(chains.get(request.links)!);
      case "free":
        for (const chain of chains.values()) await chain.free();
        chains.clear();
        return {};
    }
  }

  await reply(async () => ({ about: (peer = await open()).about }));
  for await (const line of readLines(Deno.stdin.readable)) {
    await reply(() => answer(JSON.parse(line)));
  }
  Deno.exit();
}

async function time(chain: Chain): Promise<RunTime> {
  const start = performance.now(), before = process.cpuUsage();
  await chain.run();
  const { user, system } = process.cpuUsage(before);
  return { wallMs: performance.now() - start, cpuMs: (user + system) / 1000 };
}

function readInputs({ inputs }: Request & { readonly do: "prepare" }): Inputs {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, path }]) => {
      return [name, { shape, data: new Float32Array(Deno.readFileSync(path).buffer) }];
    }),
  );
}

async function reply(body: () => Promise<object>): Promise<void> {
  let result: object;
  try {
    result = await body();
  } catch (error) {
    result = { error: String(error).split("\n")[0] };
  }
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(result) + "\n"));
}
