import { ok, strictEqual } from "node:assert/strict";
import { runCli } from "./run_cli.ts";

Deno.test("doctor prints the facts, tries the device, and exits 69 for a software adapter unless allowed", async () => {
  const { info } = (await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }))!;
  for (const [args, code] of [[[], info.isFallbackAdapter ? 69 : 0], [["--allow-cpu"], 0]] as const) {
    const result = await runCli("doctor", ...args);
    strictEqual(result.code, code, result.stderr);
    strictEqual(result.stderr, "");
    const { stdout } = result;
    for (
      const row of [`deno +${Deno.version.deno}`, "adapter +.+", "subgroups +.+", "largest binding +\\d+ MiB"]
    ) {
      ok(new RegExp(`^${row}$`, "m").test(stdout), row);
    }
    ok(/^computation +4096 numbers doubled correctly in \d+ ms$/m.test(stdout), stdout);
    strictEqual(stdout.includes("\nNo GPU: only a software adapter was found"), info.isFallbackAdapter);
    strictEqual(stdout.includes("\nOK: a hardware adapter computes correctly"), !info.isFallbackAdapter);
  }
});
