// Tries what a command may do and what it may not; answers with "done" or the error for each.

import { join } from "node:path";

/** What to try, by name. */
type Attempts = Readonly<Record<string, () => unknown>>;

const channel = self as unknown as Worker;

channel.onmessage = async ({ data }: MessageEvent<{ readonly input: string; readonly output: string }>) => {
  const { input, output } = data;
  const mine = join(output, "mine.txt"), outside = `${output}_outside`;
  const attempts: Attempts = {
    "list input": () => [...Deno.readDirSync(input)],
    "make output": () => Deno.mkdirSync(output, { recursive: true }),
    "write output": () => Deno.writeTextFileSync(mine, ""),
    "rename in output": () => Deno.renameSync(mine, `${mine}2`),
    "use WebGPU": () => navigator.gpu.requestAdapter(),
    "read a system file": () => Deno.readTextFileSync("/etc/hostname"),
    "read the program": () => Deno.readTextFileSync(new URL("../../src/cli/main.ts", import.meta.url)),
    "read up from input": () => Deno.statSync(`${input}/../other`),
    "read a folder with the same beginning": () => Deno.statSync(`${input}_other`),
    "write input": () => Deno.writeTextFileSync(join(input, "new.txt"), ""),
    "write outside": () => Deno.writeTextFileSync(outside, ""),
    "write up from output": () => Deno.writeTextFileSync(`${output}/../up.txt`, ""),
    "move out of output": () => Deno.renameSync(`${mine}2`, outside),
    "link out of output": () => Deno.symlinkSync("/etc", join(output, "link")),
    "use the network": () => fetch("http://127.0.0.1:8000/"),
    "listen": () => Deno.listen({ port: 0 }).close(),
    "start a process": () => new Deno.Command(Deno.execPath(), { args: ["--version"] }).outputSync(),
    "load a library": () => Deno.dlopen("libc.so.6", {}),
    "read the environment": () => Deno.env.get("PATH"),
    "ask for the host's name": () => Deno.hostname(),
    "import remote code": () => import(`https://example.com/${"x.ts"}`),
    "import local code": () => import(`${new URL("./narrowed_main.ts", import.meta.url)}`),
    "end another process": () => Deno.kill(Deno.ppid, "SIGCONT"),
  };
  const results: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      results[name] = "done";
    } catch (error) {
      const { name: kind, message } = error as Error;
      results[name] = kind === "TypeError" ? `${kind}: ${message.replace(/ to .*/s, "")}` : kind;
    }
  }
  channel.postMessage(results);
};
channel.postMessage("ready");
