import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Runs a script of `bench/`, which may read files, in a process of its own; returns what it prints as JSON. */
export async function runAlone<Result>(script: string, settings: object): Promise<Result> {
  const json = JSON.stringify(settings);
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-read", `bench/${script}`, json],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`Cannot measure ${json}: exit code ${code}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}
