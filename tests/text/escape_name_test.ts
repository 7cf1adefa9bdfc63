import { strictEqual } from "node:assert/strict";
import { escapeName } from "../../src/text/escape_name.ts";

Deno.test("escapeName() makes control, reordering and separator characters visible", () => {
  strictEqual(escapeName("\x1b[31mred\n.png"), "\\u{1b}[31mred\\u{a}.png");
  strictEqual(escapeName("a\u202egnp.exe"), "a\\u{202e}gnp.exe");
  strictEqual(escapeName("a\u2028b\x9bc\x7f"), "a\\u{2028}b\\u{9b}c\\u{7f}");
  strictEqual(escapeName("a\ud800b"), "a\\u{d800}b");
});

Deno.test("escapeName() keeps ordinary names of any script", () => {
  strictEqual(escapeName("Größe 映像 🎞 (1).png"), "Größe 映像 🎞 (1).png");
});
