import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Report } from "../../bench/report.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

async function runBench(
  ...args: readonly string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-read", "--allow-write", "--allow-run", "bench/main.ts", ...args],
    cwd: ROOT,
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

Deno.test("bench kernels --quick checks and rates every kernel, as table, JSON and chart", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const json = `${folder}/results/kernels.json`, svg = `${folder}/results/kernels.svg`;
    const { code, stdout, stderr } = await runBench("kernels", "--quick", "--json", json, "--svg", svg);
    assert.equal(code, 0, stderr);

    const report: Report = JSON.parse(await Deno.readTextFile(json));
    assert.deepEqual(report.groups.map(({ name }) => name), ["peak", "kernels"]);
    assert.equal(report.command, `deno task bench kernels --quick --json ${json} --svg ${svg}`);
    assert.match(
      report.runtime,
      new RegExp(`^Deno ${RegExp.escape(Deno.version.deno)} on ${Deno.build.os} `),
    );
    const rows = report.groups.flatMap((group) => group.rows);
    for (const { name, timing: { minMs, medianMs, repeats }, rate } of rows) {
      assert.ok(minMs > 0 && minMs <= medianMs && repeats === 3, `${name}: ${minMs}, ${medianMs} ms`);
      assert.ok(rate!.value > 0 && rate!.share > 0, `${name}: ${rate!.value} ${rate!.unit}, ${rate!.share}`);
    }
    const kernels = report.groups[1]!.rows.map(({ variant }) => variant!).join(" ");
    for (
      const kernel of ["winograd_input", "gemm", "conv2d", "attention", "group_norm_stats", "layer_norm"]
    ) {
      assert.ok(kernels.includes(kernel), `${kernel} was not timed`);
    }

    assert.ok(stdout.startsWith(`Adapter: ${report.adapter}\n`), stdout);
    const chart = await Deno.readTextFile(svg);
    for (const { name, rate } of rows) {
      const line = stdout.split("\n").find((line) => line.startsWith(`${name}  `));
      assert.ok(line?.includes(rate!.unit), `the table has no line for "${name}"`);
      assert.ok(chart.includes(`>${name}</text>`), `the chart has no bar for "${name}"`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("bench names the groups there are where one is unknown", async () => {
  const { code, stderr } = await runBench("kernles");
  assert.equal(code, 2);
  assert.match(
    stderr,
    /^Error: Cannot run group "kernles": peak, kernels, .* are known; see deno task bench --help$/m,
  );
});

Deno.test("bench --help lists the groups", async () => {
  const { code, stdout } = await runBench("--help");
  assert.equal(code, 0);
  for (const group of ["peak", "kernels", "networks", "scale", "endurance", "checkpoints"]) {
    assert.match(stdout, RegExp(`^  ${group} `, "m"));
  }
});
