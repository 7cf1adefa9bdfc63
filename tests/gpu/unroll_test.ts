import assert from "node:assert/strict";
import { specialise, unroll } from "../../src/gpu/unroll.ts";

Deno.test("specialise() replaces the value of const and alias lines", () => {
  const source = "const TM: u32 = 4u;\nconst SCALE = 2;\nalias Elem = f32;\n";
  assert.equal(
    specialise(source, { TM: 8, SCALE: 3, Elem: "f16" }),
    "const TM: u32 = 8u;\nconst SCALE = 3;\nalias Elem = f16;\n",
  );
});

Deno.test("specialise() refuses a constant the shader does not have", () => {
  assert.throws(() => specialise("const TM: u32 = 4u;\n", { TN: 8 }), /Cannot set constant "TN"/);
});

Deno.test("unroll() repeats the body with the counter as a literal", () => {
  const source = "const N: u32 = 2u;\nfor (var i = 0u; i < N; i++) { // @unroll\n  a[i] = b[i + 1u];\n}";
  assert.equal(
    unroll(source),
    "const N: u32 = 2u;\n{\n  a[0u] = b[1u];\n}\n{\n  a[1u] = b[2u];\n}",
  );
});

Deno.test("unroll() expands nested loops, steps and bounds that use constants and outer counters", () => {
  const source = [
    "const A: u32 = 4u;",
    "const B: u32 = (A + 2u) / 3u * 2u;",
    "for (var i = 0u; i < B; i += 2u) { // @unroll",
    "  for (var k = i; k < i + A % 3u; k++) { // @unroll",
    "    x[i][k] = ik;",
    "  }",
    "}",
  ].join("\n");
  const statements = unroll(source).split("\n").filter((l) => l.includes("x["));
  assert.deepEqual(statements.map((s) => s.trim()), ["x[0u][0u] = ik;", "x[2u][2u] = ik;"]);
});

Deno.test("unroll() writes indices as literals where they are known and not negative", () => {
  const source = "const N: u32 = 2u;\nfor (var i = 0u; i < 1u; i++) { // @unroll\n" +
    "  a[(i * 3u + N) % 4u][N] = b[c[i + N / 2u] + i] + d[i - 1u] + e[i + n];\n}";
  assert.equal(unroll(source).split("\n")[2], "  a[2u][2u] = b[c[1u] + 0u] + d[0u - 1u] + e[0u + n];");
});

Deno.test("unroll() leaves unmarked loops alone", () => {
  const source = "for (var i = 0u; i < 4u; i++) {\n  a += 1;\n}";
  assert.equal(unroll(source), source);
});

Deno.test("unroll() refuses what it cannot expand", () => {
  assert.throws(() => unroll("while (true) { // @unroll\n}"), /not a counted loop/);
  assert.throws(() => unroll("for (var i = 0u; i < n; i++) { // @unroll\n}"), /"n" is not a known constant/);
  assert.throws(() => unroll("for (var i = 0u; i < 2u; i++) { // @unroll\n  a;"), /no closing brace/);
  assert.throws(() => unroll("for (var i = 0u; i < 2u; i += 0u) { // @unroll\n}"), /step must be positive/);
});
