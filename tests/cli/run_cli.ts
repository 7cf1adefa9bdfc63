import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = "src/cli/main.ts";

/** A task of deno.json. */
export type Task = keyof typeof config.tasks;
/** The tasks that start the command line; each is named after its command. */
export const CLI_TASKS = (Object.keys(config.tasks) as Task[]).filter((task) =>
  config.tasks[task].command.includes(MAIN)
);

/** What a finished run left. */
export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  /** Without the lines of the graphics stack. */
  readonly stderr: string;
}

/** What a task tells `deno`, up to the program's own arguments. */
export function taskArgs(task: Task): string[] {
  const words = config.tasks[task].command.split(" ");
  return words.slice(1, words.indexOf(MAIN) + 1);
}

/** The command line as a child process, with what its task passes to Deno; that of `upscale` for an unknown command. */
export function startCli(args: readonly string[], options: Start = {}): Deno.ChildProcess {
  const task = CLI_TASKS.find((task) => task === args[0]) ?? "upscale";
  return startDeno([...taskArgs(task), ...args], options);
}

/** Runs the command line to its end. */
export function runCli(...args: readonly string[]): Promise<CliResult> {
  return finish(startCli(args));
}

/** Runs the command line to its end, as if its task had been started in `folder`. */
export function runCliIn(folder: string, ...args: readonly string[]): Promise<CliResult> {
  return finish(startCli(args, { folder }));
}

/** Runs `deno` with other arguments than a task's, from the root of the project. */
export function runDeno(...args: readonly string[]): Promise<CliResult> {
  return finish(startDeno(args));
}

/** When to send which signal. */
export interface Interruption {
  readonly signal: Deno.Signal;
  /** What stderr must hold before. */
  readonly trigger: string;
  /** Time between the two. Default 0. */
  readonly delayMs?: number;
  /** A second signal, so long after the first. */
  readonly again?: { readonly signal: Deno.Signal; readonly delayMs: number };
}

/** Runs it, sends one signal or two, and waits for the end, which came `endedInMs` after the last of them. */
export async function interruptCli(
  args: readonly string[],
  { signal, trigger, delayMs = 0, again }: Interruption,
): Promise<CliResult & { readonly endedInMs: number }> {
  const child = startCli(args);
  const stdout = new Response(child.stdout).text();
  let stderr = "", sending: Promise<number> | null = null;
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
    stderr += text;
    if (stderr.includes(trigger)) sending ??= send();
  }
  const { code } = await child.status;
  const end = performance.now();
  return {
    code,
    stdout: await stdout,
    stderr: withoutGraphicsStack(stderr),
    endedInMs: end - (await sending ?? end),
  };

  async function send(): Promise<number> {
    await delay(delayMs);
    child.kill(signal);
    if (again) {
      await delay(again.delayMs);
      child.kill(again.signal);
    }
    return performance.now();
  }
}

/** How to start it. */
interface Start {
  /** Where a user is who starts a task. Default the root of the project. */
  readonly folder?: string;
}

function startDeno(args: readonly string[], { folder = ROOT }: Start = {}): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { INIT_CWD: folder },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function finish(child: Deno.ChildProcess): Promise<CliResult> {
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: decode(stdout), stderr: withoutGraphicsStack(decode(stderr)) };
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function withoutGraphicsStack(text: string): string {
  return text.replaceAll(/^error: XDG_RUNTIME_DIR is invalid.*\n/gm, "");
}
