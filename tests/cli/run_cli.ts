import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What a finished run left. */
export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  /** Without the lines of the graphics stack. */
  readonly stderr: string;
}

/** The command line as a child process, with the permissions that the tasks give it. */
export function startCli(args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--allow-read",
      "--allow-write",
      "--allow-env=DENO_WEBGPU_BACKEND,NO_COLOR",
      "src/cli/main.ts",
      ...args,
    ],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs the command line to its end. */
export async function runCli(...args: readonly string[]): Promise<CliResult> {
  const { code, stdout, stderr } = await startCli(args).output();
  return { code, stdout: decode(stdout), stderr: withoutGraphicsStack(decode(stderr)) };
}

/** Runs it, sends `signal` once a line of stderr contains `trigger`, and waits for the end. */
export async function interruptCli(
  args: readonly string[],
  { signal, trigger }: { readonly signal: Deno.Signal; readonly trigger: string },
): Promise<CliResult> {
  const child = startCli(args);
  const stdout = new Response(child.stdout).text();
  let stderr = "", sent = false;
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
    stderr += text;
    if (!sent && stderr.includes(trigger)) {
      sent = true;
      child.kill(signal);
    }
  }
  const { code } = await child.status;
  return { code, stdout: await stdout, stderr: withoutGraphicsStack(stderr) };
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function withoutGraphicsStack(text: string): string {
  return text.replaceAll(/^error: XDG_RUNTIME_DIR is invalid.*\n/gm, "");
}
