import { readLines } from "./read_lines.ts";
import type { Request } from "./serve.ts";

/** Someone who computes works in a process of its own. */
export interface Entry {
  readonly name: string;
  /** Where it computes: only the same is compared. */
  readonly on: "GPU" | "CPU";
  /** Kinds of work it takes part in; all by default. */
  readonly kinds?: readonly string[];
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What to do where it cannot be loaded. */
  readonly install?: string;
}

/** Time for one answer. */
const PATIENCE_MS = 300_000;

/** A running entry. What fails is remembered as `failure`, and later requests fail the same way. */
export class Contestant {
  readonly entry: Entry;
  /** Why it cannot take part any more, or null. */
  failure: string | null = null;
  /** Its name, version and device in its own words. */
  about = "";
  #process: Deno.ChildProcess | null = null;
  #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>> | null = null;
  #lines: AsyncGenerator<string> | null = null;
  #errors: Promise<string> | null = null;

  constructor(entry: Entry) {
    this.entry = entry;
  }

  /** Starts the process and waits until it has loaded; never throws. */
  async start(): Promise<void> {
    const [program, ...args] = this.entry.command;
    try {
      this.#process = new Deno.Command(program!, {
        args,
        env: { NO_COLOR: "1", ...this.entry.environment },
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      this.#input = this.#process.stdin.getWriter();
      this.#lines = readLines(this.#process.stdout);
      this.#errors = new Response(this.#process.stderr).text();
      const { about } = await this.#answer() as { about: string };
      this.about = about;
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
      const { install } = this.entry;
      const missing = error instanceof Deno.errors.NotFound || this.failure.includes("ModuleNotFoundError");
      if (install && missing) this.failure = `not installed (${this.failure}): ${install}`;
      this.stop();
    }
  }

  /** Whether it has ever started. */
  get loaded(): boolean {
    return this.about !== "";
  }

  /** Gets a fresh process after a failure. */
  async restart(): Promise<void> {
    this.stop();
    this.failure = null;
    await this.start();
  }

  /** Sends a request and returns the answer. Throws what the contestant reports; a dead one stays dead. */
  async ask(request: Request): Promise<object> {
    if (this.failure) throw new Error(this.failure);
    try {
      await this.#input!.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
    } catch {
      // It died; its answer, or the lack of one, says why.
    }
    return await this.#answer();
  }

  /** Ends the process. */
  stop(): void {
    try {
      this.#process?.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }

  /** The next line of JSON; libraries print other lines too. */
  async #answer(): Promise<object> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.failure = `no answer in ${PATIENCE_MS / 1000} s`;
        this.stop();
        reject(new Error(this.failure));
      }, PATIENCE_MS);
    });
    try {
      for (;;) {
        const { value, done } = await Promise.race([this.#lines!.next(), timeout]);
        if (done) {
          const line = (await this.#errors!).split("\n").find((line) => /error/i.test(line));
          this.failure ??= `ended: ${line ?? "without an error message"}`;
          throw new Error(this.failure);
        }
        if (!value.startsWith("{")) continue;
        const answer = JSON.parse(value) as { error?: string };
        if (answer.error !== undefined) throw new Error(answer.error);
        return answer;
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
