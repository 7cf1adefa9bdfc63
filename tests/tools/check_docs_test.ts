import assert from "node:assert/strict";

import { checkDocument } from "../../tools/check_docs.ts";

const PATHS = new Set(["docs/kernels.md", "docs/my pair.png", "src/gpu", "README.md"]);
const TARGETS = { tasks: new Set(["ok", "bench:conv"]), exists: (path: string) => PATHS.has(path) };

function check(text: string, path = "docs/guide.md"): string[] {
  return checkDocument(path, text, TARGETS);
}

Deno.test("checkDocument() accepts targets that are there", () => {
  const text = [
    "[a](kernels.md) [b](./kernels.md#tiles) [c](../README.md) [d](../src/gpu)",
    '![pair](my%20pair.png) <img src="../docs/my%20pair.png"> [e](#here) [f](https://example.org/x.md)',
    "Run `deno task ok`, then `deno task bench:conv --n 3`.",
  ].join("\n");
  assert.deepEqual(check(text), []);
});

Deno.test("checkDocument() names a missing link with its line", () => {
  assert.deepEqual(check("\n[a](gone.md)"), [
    'docs/guide.md:2: links to "gone.md", but docs/gone.md is not there: mend the link',
  ]);
});

Deno.test("checkDocument() names a missing picture, in Markdown and in HTML", () => {
  assert.deepEqual(check('![a](x.png "title")\n<img width="4" src="y.png">', "README.md"), [
    'README.md:1: links to "x.png", but x.png is not there: mend the link',
    'README.md:2: links to "y.png", but y.png is not there: mend the link',
  ]);
});

Deno.test("checkDocument() takes no link from code", () => {
  assert.deepEqual(check("```ts\na[0](gone.md)\n```\n`[a](gone.md)` [b](gone.md)"), [
    'docs/guide.md:4: links to "gone.md", but docs/gone.md is not there: mend the link',
  ]);
});

Deno.test("checkDocument() names an unknown task, code blocks included", () => {
  assert.deepEqual(check("```sh\n./setup.sh && deno task okay\n```"), [
    'docs/guide.md:2: names the task "okay", deno.json has ok, bench:conv: mend the name',
  ]);
});
