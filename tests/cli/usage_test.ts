import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import config from "../../deno.json" with { type: "json" };
import { runCli } from "./run_cli.ts";

Deno.test("upscale --help shows two examples before the flags, on stdout", async () => {
  for (const flag of ["--help", "-h"]) {
    const { code, stdout, stderr } = await runCli("upscale", flag);
    strictEqual(code, 0);
    strictEqual(stderr, "");
    const examples = stdout.match(/^ {2}deno task upscale -i .*$/gm) ?? [];
    strictEqual(examples.length, 2);
    ok(stdout.indexOf(examples[1]!) < stdout.indexOf("--output"), stdout);
  }
});

Deno.test("README.md lists the flags of upscale --help in their order", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const table = /^\| flag \| meaning \|\n.*\n((?:\|.*\n)+)/m.exec(readme)![1]!;
  const { stdout } = await runCli("upscale", "--help");
  const listed = flagsOf(table, /^\|([^|]*)\|/gm), printed = flagsOf(stdout, /^ {2}(-.*?) {2}/gm);
  ok(printed.length > 20, stdout);
  deepStrictEqual(listed, printed);
});

/** The flags in the first column of a table, of which `row` finds each row. */
function flagsOf(table: string, row: RegExp): string[] {
  return [...table.matchAll(row)].flatMap(([, names]) => names!.match(/(?<![\w-])--?[a-z][a-z-]*/g) ?? []);
}

Deno.test("--version prints the version of deno.json", async () => {
  for (const flag of ["--version", "-V"]) {
    const { code, stdout } = await runCli(flag);
    strictEqual(code, 0);
    strictEqual(stdout, `${config.version}\n`);
  }
});

const USAGE_ERRORS: readonly [args: string[], message: RegExp][] = [
  [[], /No command: one of upscale, plan, fetch, convert, demo, compare and doctor is wanted/],
  [["upscal"], /`upscal`[^]*Did you mean `upscale`/],
  [["upscale"], /Missing option `-i`\/`--input`/],
  [["upscale", "-i"], /`-i` requires `PATH`/],
  [["upscale", "-i", ""], /`-i`\/`--input`: Expected a path, but got ""/],
  [["upscale", "-i", "x", "--tile", "4"], /`--tile`/],
  [["upscale", "-i", "x", "y"], /`y`/],
  [["upscale", "-i", "x", "--steps", "0"], /`--steps`.*greater than or equal to 1, but got "0"/],
  [["upscale", "-i", "x", "--num_inference_steps=1.5"], /`--num-inference-steps`.*integer, but got "1.5"/],
  [["upscale", "-i", "x", "--seed", "-1"], /`--seed`.*greater than or equal to 0, but got "-1"/],
  [
    ["upscale", "-i", "x", "--seed", "9007199254740992"],
    /at most "9007199254740991", but got "9007199254740992"\.$/m,
  ],
  [["upscale", "-i", "x", "--conditioning-scale", "nan"], /`--conditioning-scale`.*number, but got "nan"/],
  [
    ["upscale", "-i", "x", "--guidance-scale", "-1"],
    /`--guidance-scale`.*greater than or equal to 0, but got "-1"/,
  ],
  [["upscale", "-i", "x", "--progress", "loud"], /"auto", "bar", "json", and "none", but got "loud"/],
  [["upscale", "-i", "x", "--tuning", "on"], /`--tuning`.*"auto", "off", and "force", but got "on"/],
  [["upscale", "-i", "x", "-i", "y"], /`-i` cannot be used multiple times/],
  [["fetch"], /OWNER\/NAME/],
  [["fetch", "../name"], /`OWNER\/NAME`: Expected a model's name on the hub, but got "\.\.\/name"/],
  [["convert", "-o", "x"], /Missing option `-m`\/`--model`/],
  [["convert", "-m", "x"], /Missing option `-o`\/`--output`/],
  [["convert", "-m", "x", "-o", "y", "--precision", "auto"], /"f16" and "f32", but got "auto"/],
  [["compare", "-i", "x"], /Missing option `-r`\/`--reference`/],
];

for (const [args, message] of USAGE_ERRORS) {
  Deno.test(`the command line refuses: ${args.join(" ") || "nothing"}`, async () => {
    const { code, stdout, stderr } = await runCli(...args);
    strictEqual(code, 64);
    strictEqual(stdout, "");
    ok(message.test(stderr), stderr);
    const command = args[0] === undefined || args[0] === "upscal" ? "COMMAND" : args[0];
    ok(stderr.endsWith(`All flags and their values: deno task ${command} --help\n`), stderr);
  });
}
