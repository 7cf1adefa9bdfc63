import assert from "node:assert/strict";

import { checkLayout } from "../../tools/check_layout.ts";

/** A tree that keeps every rule; each test breaks one. */
const CONTROL: Readonly<Record<string, string>> = {
  "mod.ts": 'export { upscale } from "./src/vsr/upscaler.ts";\n',
  "src/cli/upscale.ts":
    'import { upscale } from "../vsr/upscaler.ts";\nconsole.log(upscale());\nDeno.exit(0);\n',
  "src/vsr/upscaler.ts": [
    'import type { Frame } from "../media/frame.ts";',
    'import { relu } from "../kernels/relu.ts";',
    'import { noise } from "npm:noise";',
    "// console.log(1) is not code, and neither is the next line's",
    'const text = "console.log(1)";',
    "const table = { a: (x: number) => x };",
    "export function upscale(): number { const f = () => relu(table); return f(); }",
    "",
  ].join("\n"),
  "src/media/frame.ts": "export interface Frame { readonly width: number }\n",
  "src/kernels/relu.ts":
    'import source from "../../wgsl/relu.wgsl" with { type: "text" };\ndefineKernel({ source });\n',
  "tests/kernels/relu_test.ts": 'Deno.test("relu() keeps zero", () => console.log("only: true"));\n',
  "tests/_assert.ts": "export function assertAllClose(): void {}\n",
  "wgsl/relu.wgsl": "fn main() {}\n",
  "wgsl/lib/load.wgsl": "fn load() {}\n",
  "README.md": "# Title\n",
};

/** Checks the control tree with `changes` made to it (undefined deletes); returns `path:line: rule` of each violation. */
function check(changes: Readonly<Record<string, string | undefined>>): string[] {
  return violations(changes).map(({ path, line, rule }) => `${path}:${line}: ${rule}`);
}

function violations(changes: Readonly<Record<string, string | undefined>>) {
  const files = new Map<string, string>();
  for (const [path, text] of Object.entries({ ...CONTROL, ...changes })) {
    if (text !== undefined) files.set(path, text);
  }
  return checkLayout(files).violations;
}

Deno.test("checkLayout() finds nothing in a tree that keeps the rules", () => {
  assert.deepEqual(check({}), []);
});

Deno.test("checkLayout() counts files and lines by folder", () => {
  const { totals } = checkLayout(
    new Map([["mod.ts", "a\nb\n"], ["src/gpu/a.ts", "a"], ["src/gpu/b.ts", "a\n\nb\n"]]),
  );
  assert.deepEqual([...totals], [[".", { files: 1, lines: 2 }], ["src", { files: 2, lines: 4 }]]);
});

Deno.test("checkLayout() refuses an import against the arrows, types and lazy imports included", () => {
  const changes = {
    "src/gpu/a.ts": 'import "../kernels/relu.ts";\n',
    "src/media/b.ts": 'import type {\n  A,\n} from "../gpu/a.ts";\n',
    "src/nn/c.ts": 'const a = await import("../vsr/upscaler.ts");\n',
    "src/checkpoint/d.ts": 'export * from "../kernels/relu.ts";\n',
  };
  assert.deepEqual(check(changes), [
    "src/gpu/a.ts:1: import-arrow",
    "src/media/b.ts:3: import-arrow",
    "src/nn/c.ts:1: import-arrow",
    "src/checkpoint/d.ts:1: import-arrow",
  ]);
});

Deno.test("checkLayout() says what a room may import", () => {
  const [violation] = violations({ "src/nn/a.ts": 'import "../models/unet.ts";\n' });
  assert.equal(
    violation?.message,
    'src/nn imports "src/models/unet.ts", may import itself, kernels, checkpoint, gpu: ' +
      "move the code or turn the arrow round",
  );
});

Deno.test("checkLayout() refuses an import from src/ into tests, tools or mod.ts", () => {
  const changes = {
    "src/cli/a.ts": 'import "../../tests/_assert.ts";\nimport "../../mod.ts";\nimport "../../deno.json";\n',
  };
  assert.deepEqual(check(changes), ["src/cli/a.ts:1: import-arrow", "src/cli/a.ts:2: import-arrow"]);
});

Deno.test("checkLayout() refuses a file outside the rooms", () => {
  assert.deepEqual(check({ "src/util/a.ts": "", "src/b.ts": "" }), [
    "src/util/a.ts:1: rooms",
    "src/b.ts:1: rooms",
  ]);
});

Deno.test("checkLayout() names the circle of a circular import once", () => {
  const found = violations({
    "src/gpu/a.ts": 'import "./b.ts";\n',
    "src/gpu/b.ts": '\nimport "./c.ts";\n',
    "src/gpu/c.ts": '\n\nimport "./a.ts";\n',
    "src/gpu/d.ts": 'import "./b.ts";\n',
  });
  assert.equal(found.length, 1);
  assert.equal(`${found[0]!.path}:${found[0]!.line}: ${found[0]!.rule}`, "src/gpu/c.ts:3: circular-import");
  assert.match(found[0]!.message, /src\/gpu\/a\.ts -> src\/gpu\/b\.ts -> src\/gpu\/c\.ts -> src\/gpu\/a\.ts/);
});

Deno.test("checkLayout() refuses a file that imports itself", () => {
  assert.deepEqual(check({ "src/gpu/a.ts": 'import "./a.ts";\n' }), ["src/gpu/a.ts:1: circular-import"]);
});

Deno.test("checkLayout() wants each shader outside lib imported by a kernel file", () => {
  const changes = { "wgsl/gelu.wgsl": "fn main() {}\n", "src/gpu/a.ts": 'import "../../wgsl/gelu.wgsl";\n' };
  assert.deepEqual(check(changes), ["wgsl/gelu.wgsl:1: unused-shader"]);
});

Deno.test("checkLayout() wants a test of the same stem for each kernel", () => {
  assert.deepEqual(check({ "tests/kernels/relu_test.ts": undefined }), [
    "src/kernels/relu.ts:2: untested-kernel",
  ]);
});

Deno.test("checkLayout() wants no test for a kernel file that declares none", () => {
  assert.deepEqual(check({ "src/kernels/tuning.ts": "export function tune(): void {}\n" }), []);
});

Deno.test("checkLayout() refuses index.ts and names that are not snake_case", () => {
  const changes = {
    "src/gpu/index.ts": "",
    "src/gpu/myFile.ts": "",
    "wgsl/lib/Load-All.wgsl": "",
    "tests/a.test.ts": "",
  };
  assert.deepEqual(check(changes), [
    "src/gpu/index.ts:1: no-index",
    "src/gpu/myFile.ts:1: snake-case",
    "wgsl/lib/Load-All.wgsl:1: snake-case",
    "tests/a.test.ts:1: snake-case",
  ]);
});

Deno.test("checkLayout() refuses printing and exiting outside src/cli", () => {
  const changes = {
    "src/vsr/a.ts": "\nconsole.log(1);\nDeno.exit(1);\nawait Deno.stdout.write(x);\n",
    "mod.ts": "console.warn(`${console.error}`);\n",
    "tools/b.ts": "console.log(1);\n",
    "bench/c.ts": "console.log(1);\n",
  };
  assert.deepEqual(check(changes), [
    "mod.ts:1: printing",
    "mod.ts:1: printing",
    "src/vsr/a.ts:2: printing",
    "src/vsr/a.ts:3: printing",
    "src/vsr/a.ts:4: printing",
  ]);
});

const ARROWS = [
  "const f = () => 1;",
  "export const f = async (a: number) => a;",
  "const f = (a: (b: number) => void): Promise<number> => g(a);",
  "const f: (a: number) => number = (a) => a;",
  "const f = <T>(a: T) => a;",
  "let f = a => a;",
  "export default () => 1;",
];
for (const source of ARROWS) {
  Deno.test(`checkLayout() refuses the top-level arrow function ${source}`, () => {
    assert.deepEqual(check({ "src/gpu/a.ts": `\n${source}\n` }), ["src/gpu/a.ts:2: arrow-function"]);
  });
}

const NOT_ARROWS = [
  "const a = (b + c) * d;",
  "const a = list.map((b) => b);",
  "const a = { b: () => 1 };",
  "const a = (b === c) ? d : (e) => e;",
  "function f() {\n  const a = () => 1;\n}",
  "type F = (a: number) => void;",
];
for (const source of NOT_ARROWS) {
  Deno.test(`checkLayout() accepts ${JSON.stringify(source)}`, () => {
    assert.deepEqual(check({ "src/gpu/a.ts": `${source}\n` }), []);
  });
}

Deno.test("checkLayout() holds TypeScript to 400 lines and shaders to 250", () => {
  const changes = {
    "src/gpu/a.ts": "\n".repeat(400),
    "src/gpu/b.ts": "\n".repeat(401),
    "tests/c.ts": "\n".repeat(401),
    "wgsl/lib/d.wgsl": "\n".repeat(250),
    "wgsl/lib/e.wgsl": "\n".repeat(251),
  };
  assert.deepEqual(check(changes), ["src/gpu/b.ts:401: size", "wgsl/lib/e.wgsl:251: size"]);
});

for (const mark of ["TO-DO", "FIX-ME", "XX-X", "HA-CK"].map((halves) => halves.replace("-", ""))) {
  Deno.test(`checkLayout() refuses the mark ${mark[0]}...${mark.at(-1)} in code, shaders and documents`, () => {
    const changes = {
      "src/gpu/a.ts": `\n// ${mark}: b\n`,
      "wgsl/lib/b.wgsl": `// ${mark}\n`,
      "docs/c.md": `${mark}S ${mark}\n`,
    };
    assert.deepEqual(check(changes), [
      "src/gpu/a.ts:2: left-over",
      "wgsl/lib/b.wgsl:1: left-over",
      "docs/c.md:1: left-over",
    ]);
  });
}

Deno.test("checkLayout() wants docstrings of several lines to begin on the line below their /**", () => {
  const source = "/** a */\nexport const a = 1;\n\n  /** b\n   * c */\n\n/**\n * d\n */\n";
  assert.deepEqual(check({ "src/gpu/a.ts": source, "docs/b.md": "/** a\n" }), ["src/gpu/a.ts:4: docstring"]);
});

for (const off of ["ignore", "only"]) {
  Deno.test(`checkLayout() refuses a test set to ${off}`, () => {
    const source =
      `Deno.test.${off}("a", () => {});\n\nDeno.test({ ${off}: ${true}, name: "b", fn() {} });\n`;
    assert.deepEqual(check({ "tests/a_test.ts": source }), [
      "tests/a_test.ts:1: test-not-run",
      "tests/a_test.ts:3: test-not-run",
    ]);
  });
}
