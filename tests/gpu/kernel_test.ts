import assert from "node:assert/strict";
import { compile, defineKernel, variantName } from "../../src/gpu/kernel.ts";
import { gpuTest } from "../_gpu_test.ts";
import { scaleKernel } from "./_scale_kernel.ts";

const typed = defineKernel({
  name: "typed",
  source: "",
  bindings: {},
  params: { u: "u32", i: "i32", f: "f32", v: "u32", w: "u32" },
});

Deno.test("Kernel.packParams() stores each type in declared order, padded to 16 bytes", () => {
  const view = new DataView(typed.packParams({ w: 5, f: -1.5, i: -7, v: 2 ** 32 - 1, u: 3 }));
  assert.equal(view.byteLength, 32);
  assert.equal(view.getUint32(0, true), 3);
  assert.equal(view.getInt32(4, true), -7);
  assert.equal(view.getFloat32(8, true), -1.5);
  assert.equal(view.getUint32(12, true), 2 ** 32 - 1);
  assert.equal(view.getUint32(16, true), 5);
});

Deno.test("Kernel.packParams() refuses values that the type cannot hold", () => {
  const good = { u: 0, i: 0, f: 0, v: 0, w: 0 };
  for (
    const [name, type, values] of [
      ["u", "u32", [-1, 0.5, 2 ** 32, NaN]],
      ["i", "i32", [0.5, 2 ** 31, -(2 ** 31) - 1, Infinity]],
    ] as const
  ) {
    for (const value of values) {
      assert.throws(
        () => typed.packParams({ ...good, [name]: value }),
        new RangeError(`Cannot run "typed": param "${name}" is ${value}, ${type} wanted`),
      );
    }
  }
});

Deno.test("Kernel.packParams() refuses params that are missing or not declared", () => {
  const wanted = "[u,i,f,v,w] wanted";
  assert.throws(
    () => typed.packParams({ u: 1, i: 1, f: 1, v: 1 }),
    new TypeError(`Cannot run "typed": params [u,i,f,v] given, ${wanted}`),
  );
  assert.throws(
    () => typed.packParams({ u: 1, i: 1, f: 1, v: 1, stray: 1 }),
    new TypeError(`Cannot run "typed": params [u,i,f,v,stray] given, ${wanted}`),
  );
});

Deno.test("Kernel.text() puts libraries first and sets constants in both", () => {
  const kernel = defineKernel({
    name: "k",
    library: ["const A: u32 = 1u;"],
    source: "const B: u32 = 2u;",
    bindings: {},
    params: {},
  });
  assert.equal(kernel.text({ A: 7, B: 9 }), "const A: u32 = 7u;\nconst B: u32 = 9u;");
});

Deno.test("variantName() is the kernel's name and its constants", () => {
  assert.equal(variantName(scaleKernel, {}), "scale");
  assert.equal(variantName(scaleKernel, { WORKGROUP: 32, OP: 1 }), "scale[WORKGROUP=32,OP=1]");
});

gpuTest("compile() names kernel, variant, place and lines of what does not compile", async (gpu) => {
  const broken = defineKernel({
    name: "broken",
    source: [
      "const SIZE: u32 = 1u;",
      "@compute @workgroup_size(SIZE)",
      "fn main() {",
      "  let right = 1u;",
      "  let wrong = missing + 1u;",
      "  let after = 2u;",
      "}",
    ].join("\n"),
    bindings: {},
    params: {},
  });
  await assert.rejects(compile(gpu, broken, { SIZE: 8 }), (error: Error) => {
    assert.ok(error instanceof SyntaxError);
    assert.match(error.message, /^Cannot compile broken\[SIZE=8\]: 5:15 .*missing/s);
    assert.ok(
      error.message.endsWith(
        "\n  |   let right = 1u;\n  |   let wrong = missing + 1u;\n  |   let after = 2u;",
      ),
      error.message,
    );
    return true;
  });
});

gpuTest("compile() turns a pipeline that does not fit its shader into a GpuError", async (gpu) => {
  const { source, params } = scaleKernel.declaration;
  const kernel = defineKernel({ name: "mismatched", source, params, bindings: { x: "write", y: "read" } });
  await assert.rejects(compile(gpu, kernel), (error: Error) => {
    assert.equal(error.name, "GpuError");
    assert.match(error.message, /^Cannot build pipeline mismatched: validation error: /);
    return true;
  });
});

gpuTest("compile() makes one pipeline per kernel and constants", async (gpu) => {
  const first = await compile(gpu, scaleKernel);
  assert.equal(await compile(gpu, scaleKernel), first);
  const other = await compile(gpu, scaleKernel, { WORKGROUP: 32 });
  assert.notEqual(other, first);
  assert.equal(await compile(gpu, scaleKernel, { WORKGROUP: 32 }), other);
});
