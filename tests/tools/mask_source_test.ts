import assert from "node:assert/strict";

import { maskSource } from "../../tools/mask_source.ts";

const CASES: readonly { readonly what: string; readonly source: string; readonly masked: string }[] = [
  { what: "code as it is", source: "const a = { b: c[1] / 2 };\n", masked: "const a = { b: c[1] / 2 };\n" },
  { what: "a line comment", source: "a; // b\nc;", masked: "a;     \nc;" },
  { what: "a block comment over lines", source: "a /* b\nc */ d", masked: "a     \n     d" },
  { what: "a comment mark in a string", source: 'a("//b"); c', masked: 'a("   "); c' },
  { what: "a quote in a comment", source: "// don't\na('b')", masked: "        \na(' ')" },
  { what: "an escaped quote", source: String.raw`a("b\"c") d`, masked: 'a("    ") d' },
  { what: "code within a template", source: "`a${b}c` d", masked: "` ${b} ` d" },
  {
    what: "braces within a template's code",
    source: "`a${{ b: 1 }}c` d",
    masked: "` ${{ b: 1 }} ` d",
  },
  { what: "a template within a template", source: "`a${`b${c}`}d` e", masked: "` ${` ${c}`} ` e" },
  { what: "an escaped template brace", source: "`a\\${b}` c", masked: "`      ` c" },
  { what: "a quote in a regular expression", source: "a(/[\"/]'/g); b", masked: "a(/      /); b" },
  { what: "two divisions", source: "a / b / 'c'", masked: "a / b / ' '" },
  { what: "a regular expression after return", source: "return /'/.test(a)", masked: "return / /.test(a)" },
];

for (const { what, source, masked } of CASES) {
  Deno.test(`maskSource() keeps length and lines of ${what}`, () => {
    assert.equal(maskSource(source), masked);
    assert.equal(masked.length, source.length);
  });
}

Deno.test("maskSource() masks an unfinished template to its end", () => {
  assert.equal(maskSource("a `b\nc"), "a ` \n ");
});
