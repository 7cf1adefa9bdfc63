import assert from "node:assert/strict";
import { compile, Kernel } from "../../src/gpu/kernel.ts";
import { gpuTest } from "../_gpu_test.ts";

const folder = new URL("../../src/kernels/", import.meta.url);
const kernels: Kernel[] = [];
for (const { name } of Deno.readDirSync(folder)) {
  const exports = await import(new URL(name, folder).href);
  kernels.push(...Object.values(exports).filter((e): e is Kernel => e instanceof Kernel));
}
kernels.sort((a, b) => a.name < b.name ? -1 : 1);

Deno.test("kernel names are distinct and each wgsl file belongs to a kernel", () => {
  const names = kernels.map((k) => k.name);
  assert.equal(new Set(names).size, names.length);
  const files = [...Deno.readDirSync(new URL("../../wgsl/", import.meta.url))]
    .filter((e) => e.isFile).map((e) => e.name.replace(/\.wgsl$/, "")).sort();
  assert.deepEqual([...names].sort(), files);
});

for (const kernel of kernels) {
  Deno.test(`${kernel.name}: bindings and params of the WGSL are the declared ones`, () => {
    const code = kernel.text({});
    const place = ([, at]: RegExpExecArray) =>
      Number(code.match(new RegExp(`const ${at}: u32 = (\\d+)u;`))?.[1] ?? at);
    const bound = [...code.matchAll(/@group\(0\) @binding\((\w+)\) var<(\w+)(?:, (\w+))?> (\w+)/g)]
      .sort((a, b) => place(a) - place(b));
    assert.deepEqual(bound.map(place), bound.map((_, i) => i));
    const storage = bound.filter((b) => b[2] === "storage");
    const declared = Object.entries(kernel.declaration.bindings);
    assert.deepEqual(
      storage.map((b) => [b[4], b[3] === "read" ? "read" : "write"]),
      declared.map(([name, access]) => [name, access === "read" ? "read" : "write"]),
    );
    const struct = code.match(/struct Params \{([^}]*)\}/)?.[1] ?? "";
    const members = [...struct.matchAll(/(\w+): (\w+)/g)].map((m) => [m[1], m[2]]);
    assert.deepEqual(members, Object.entries(kernel.declaration.params));
    assert.equal(bound.length - storage.length, members.length ? 1 : 0);
  });

  gpuTest(`${kernel.name}: every variant compiles`, async (gpu) => {
    if (kernel.declaration.subgroups) assert.ok(gpu.facts.subgroupSize > 0, "this adapter has no subgroups");
    for (const constants of [{}, ...kernel.declaration.variants ?? []]) await compile(gpu, kernel, constants);
  });
}
