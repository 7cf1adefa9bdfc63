// The house rules as a program: which room imports which, names, sizes, left-over marks, tests that do not run.
// Usage: deno run --allow-read tools/check_layout.ts

// deno-lint-ignore-file no-console -- a command prints

import { lineAt, maskSource } from "./mask_source.ts";
import { readTree } from "./read_tree.ts";

/** One broken rule. `line` counts from 1; `message` says what is there, what is wanted and the remedy. */
export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

/** What {@linkcode checkLayout} found: broken rules, and files and lines per top-level folder. */
export interface LayoutReport {
  readonly violations: Violation[];
  readonly totals: Map<string, { files: number; lines: number }>;
}

/** Which rooms of `src/` a room may import besides itself. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  gpu: [],
  text: [],
  media: ["text"],
  hub: ["media", "text"],
  kernels: ["gpu"],
  checkpoint: ["text", "gpu"],
  diffusion: ["checkpoint"],
  nn: ["kernels", "checkpoint", "gpu"],
  models: ["nn", "kernels", "checkpoint", "gpu"],
  metrics: ["media", "models", "nn", "kernels", "gpu"],
  vsr: ["media", "models", "diffusion", "checkpoint", "nn", "kernels", "text", "gpu"],
  cli: [
    "metrics",
    "vsr",
    "hub",
    "media",
    "models",
    "diffusion",
    "checkpoint",
    "nn",
    "kernels",
    "text",
    "gpu",
  ],
};

const MAX_LINES_TS = 400;
const MAX_LINES_WGSL = 250;

// The single-letter classes keep these patterns from finding themselves.
const LEFT_OVER_MARK = /\b(?:TO[D]O|FIX[M]E|X[X]X|HAC[K])\b/g;
const DOCSTRING_BESIDE = /^ *\/\*\* (?:(?!\*\/).)*$/gm;
const TEST_NOT_RUN = /\bDeno\.test\.(?:ignore|only)\b|\b(?:ignore|only):\s*true\b/g;
const PRINT_OR_EXIT = /\bconsole\.|\bDeno\.(?:stdout|stderr|exit|exitCode)\b/g;
const IMPORT = /(?:\bfrom\s*|\bimport\s*\(?\s*)(["'])(\s*)\1/g;
const TOP_LEVEL_VALUE =
  /^(?:export\s+default\s+|(?:export\s+)?(?:const|let|var)\s+[\w$]+(?:\s*:(?:=>|[^=;])*?)?\s*=(?![=>])\s*)(?:async\s+)?(?:<[^()]*>\s*)?/gm;

/** What the rules read of a TypeScript file. `code` is its text with all but code blanked. */
interface Module {
  readonly path: string;
  readonly code: string;
  readonly imports: readonly { readonly target: string; readonly line: number }[];
}

/**
 * Checks a source tree against the house rules, touching nothing but its argument.
 *
 * `files` maps each path, relative to the repository root with forward slashes, to its text.
 */
export function checkLayout(files: ReadonlyMap<string, string>): LayoutReport {
  const modules = new Map<string, Module>();
  for (const [path, text] of files) {
    if (path.endsWith(".ts")) modules.set(path, parseModule(path, text));
  }
  const violations = [
    ...[...files.keys()].flatMap(checkName),
    ...[...files].flatMap(([path, text]) => [
      ...checkSize(path, text),
      ...checkMarks(path, text),
      ...checkDocstrings(path, text),
    ]),
    ...[...modules.values()].flatMap((module) => [
      ...checkArrows(module),
      ...checkPrinting(module),
      ...checkArrowFunctions(module),
      ...checkTestsRun(module),
    ]),
    ...checkCircles(modules),
    ...checkKernels(files, modules),
  ];
  return { violations, totals: countLines(files) };
}

function parseModule(path: string, text: string): Module {
  const code = maskSource(text);
  const imports = [...code.matchAll(IMPORT)].flatMap((match) => {
    const end = match.index + match[0].length - 1;
    const specifier = text.slice(end - match[2]!.length, end);
    if (!/^\.{0,2}\//.test(specifier)) return [];
    return [{
      target: new URL(specifier, `file:///${path}`).pathname.slice(1),
      line: lineAt(text, match.index),
    }];
  });
  return { path, code, imports };
}

function checkName(path: string): Violation[] {
  const name = path.split("/").at(-1)!;
  if (name === "index.ts") {
    return [{
      path,
      line: 1,
      rule: "no-index",
      message: "is named index.ts: name the file after its main export",
    }];
  }
  if (!/\.(ts|wgsl)$/.test(name) || /^_?[a-z0-9]+(_[a-z0-9]+)*\.(ts|wgsl)$/.test(name)) return [];
  return [{
    path,
    line: 1,
    rule: "snake-case",
    message: "has a name that is not snake_case: rename the file",
  }];
}

function checkSize(path: string, text: string): Violation[] {
  const isSource = /^(src|tools)\/.*\.ts$/.test(path) || path === "mod.ts";
  const limit = path.endsWith(".wgsl") ? MAX_LINES_WGSL : isSource ? MAX_LINES_TS : Infinity;
  const lines = lineCount(text);
  if (lines <= limit) return [];
  return [{
    path,
    line: limit + 1,
    rule: "size",
    message: `has ${lines} lines, at most ${limit} wanted: split it`,
  }];
}

function checkMarks(path: string, text: string): Violation[] {
  return [...text.matchAll(LEFT_OVER_MARK)].map((match) => ({
    path,
    line: lineAt(text, match.index),
    rule: "left-over",
    message: `has the mark ${match[0]}: do the work or delete the mark`,
  }));
}

function checkDocstrings(path: string, text: string): Violation[] {
  if (!path.endsWith(".ts")) return [];
  return [...text.matchAll(DOCSTRING_BESIDE)].map((match) => ({
    path,
    line: lineAt(text, match.index),
    rule: "docstring",
    message: "has a docstring of several lines that begins beside its /**: begin it on the line below",
  }));
}

function checkArrows({ path, imports }: Module): Violation[] {
  if (!path.startsWith("src/")) return [];
  const room = roomOf(path);
  const allowed = ROOMS[room];
  if (allowed === undefined) {
    const message = `is in none of the rooms of src/ (${Object.keys(ROOMS).join(", ")}): move it into one`;
    return [{ path, line: 1, rule: "rooms", message }];
  }
  return imports.flatMap(({ target, line }) => {
    const isOurs = target.startsWith("src/");
    if (isOurs && (roomOf(target) === room || allowed.includes(roomOf(target)))) return [];
    if (!isOurs && !target.endsWith(".ts")) return []; // shaders and JSON
    const wanted = ["itself", ...allowed].join(", ");
    const message =
      `src/${room} imports "${target}", may import ${wanted}: move the code or turn the arrow round`;
    return [{ path, line, rule: "import-arrow", message }];
  });
}

function checkPrinting({ path, code }: Module): Violation[] {
  const mayPrint = /^(src\/cli|tools|bench|tests)\//.test(path);
  if (mayPrint) return [];
  return [...code.matchAll(PRINT_OR_EXIT)].map((match) => ({
    path,
    line: lineAt(code, match.index),
    rule: "printing",
    message: `uses ${
      match[0].replace(/\.$/, "")
    }: only src/cli prints or exits, so throw, return or call back instead`,
  }));
}

function checkArrowFunctions({ path, code }: Module): Violation[] {
  return [...code.matchAll(TOP_LEVEL_VALUE)].flatMap((match) => {
    const value = code.slice(match.index + match[0].length);
    const isArrow = value.startsWith("(")
      ? /^\s*(?::[^;=]*)?=>/.test(value.slice(closingParenthesis(value) + 1))
      : /^[\w$]+\s*=>/.test(value);
    if (!isArrow) return [];
    const message = "declares a top-level arrow function: write `function name()`";
    return [{ path, line: lineAt(code, match.index), rule: "arrow-function", message }];
  });
}

function checkTestsRun({ path, code }: Module): Violation[] {
  if (!path.startsWith("tests/")) return [];
  return [...code.matchAll(TEST_NOT_RUN)].map((match) => ({
    path,
    line: lineAt(code, match.index),
    rule: "test-not-run",
    message: `has ${match[0]}: make the test pass or delete it`,
  }));
}

/** Depth-first: an import of a file that is still being visited closes a circle. */
function checkCircles(modules: ReadonlyMap<string, Module>): Violation[] {
  const violations: Violation[] = [];
  const finished = new Set<string>();
  const trail: string[] = [];

  function visit(path: string): void {
    trail.push(path);
    for (const { target, line } of modules.get(path)?.imports ?? []) {
      const start = trail.indexOf(target);
      if (start >= 0) {
        const circle = [...trail.slice(start), target].join(" -> ");
        const message = `closes the circle ${circle}: move what both need into a file of its own`;
        violations.push({ path, line, rule: "circular-import", message });
      } else if (!finished.has(target)) {
        visit(target);
      }
    }
    trail.pop();
    finished.add(path);
  }

  for (const path of modules.keys()) {
    if (!finished.has(path)) visit(path);
  }
  return violations;
}

function checkKernels(files: ReadonlyMap<string, string>, modules: ReadonlyMap<string, Module>): Violation[] {
  const kernels = [...modules.values()].filter(({ path }) => path.startsWith("src/kernels/"));
  const imported = new Set(kernels.flatMap(({ imports }) => imports.map(({ target }) => target)));
  const unused = [...files.keys()].filter((path) =>
    /^wgsl\/(?!lib\/).*\.wgsl$/.test(path) && !imported.has(path)
  );
  const untested = kernels.filter(({ path, code }) =>
    /\bdefineKernel\s*\(/.test(code) && !files.has(testOf(path))
  );
  return [
    ...unused.map((path) => ({
      path,
      line: 1,
      rule: "unused-shader",
      message: "is imported by no file in src/kernels: declare its kernel there or delete it",
    })),
    ...untested.map(({ path, code }) => ({
      path,
      line: lineAt(code, code.search(/\bdefineKernel\s*\(/)),
      rule: "untested-kernel",
      message: `declares a kernel without a test: write ${testOf(path)}`,
    })),
  ];
}

function countLines(files: ReadonlyMap<string, string>): LayoutReport["totals"] {
  const totals: LayoutReport["totals"] = new Map();
  for (const [path, text] of files) {
    const folder = path.includes("/") ? path.split("/")[0]! : ".";
    const total = totals.get(folder) ?? { files: 0, lines: 0 };
    totals.set(folder, { files: total.files + 1, lines: total.lines + lineCount(text) });
  }
  return totals;
}

function roomOf(path: string): string {
  return path.split("/")[1]!;
}

function testOf(kernelPath: string): string {
  return `tests/kernels/${kernelPath.split("/").at(-1)!.replace(/\.ts$/, "")}_test.ts`;
}

function lineCount(text: string): number {
  return text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}

/** Position of the parenthesis that closes the one `code` begins with, or its end if none does. */
function closingParenthesis(code: string): number {
  let depth = 0;
  for (let i = 0; i < code.length; i++) {
    if (code[i] === "(") depth++;
    if (code[i] === ")" && --depth === 0) return i;
  }
  return code.length;
}

if (import.meta.main) {
  const { violations, totals } = checkLayout(await readTree("."));
  for (const { path, line, rule, message } of violations) {
    console.error(`${path}:${line}: ${rule}: ${message}`);
  }
  for (const [folder, { files, lines }] of totals) console.log(`${folder}: ${files} files, ${lines} lines`);
  if (violations.length > 0) Deno.exit(1);
}
