import { object, or } from "@optique/core/constructs";
import { lineBreak, type Message, message, text } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import type { InferValue } from "@optique/core/parser";
import { command, constant, flag, option } from "@optique/core/primitives";
import type { Usage } from "@optique/core/usage";
import { choice, float, integer, string } from "@optique/core/valueparser";
import { run } from "@optique/run";
import config from "../../deno.json" with { type: "json" };
import { EXIT } from "./exit_codes.ts";

const PATH = string({ metavar: "PATH", pattern: /./ });
const FOLDER = string({ metavar: "FOLDER", pattern: /./ });
/** Synopses name what must be given; the rest stands in the list below them. */
const OPTIONS: Usage = [{ type: "ellipsis" }];

const allowCpu = withDefault(
  flag("--allow-cpu", {
    description: message`Accept a software adapter, which computes on the CPU: correct, but slow`,
  }),
  false,
);

const upscale = command(
  "upscale",
  object({
    command: constant("upscale"),
    input: option("-i", "--input", PATH, {
      description: message`Folder with the frames of one clip, or one picture: PNG, JPEG or WebP`,
    }),
    output: optional(option("-o", "--output", FOLDER, {
      description:
        message`Folder for the PNG files, named as the input; default NAME_upscaled beside the input`,
    })),
    model: optional(option("-m", "--model", FOLDER, {
      description: message`Model folder in diffusers' layout; default the bundled weights/nano`,
    })),
    steps: optional(option("--steps", "--num-inference-steps", integer({ min: 1, metavar: "N" }), {
      description: message`Sampling steps; default the model's`,
    })),
    seed: withDefault(
      option("--seed", integer({ min: 0, metavar: "N" }), {
        description: message`Seed of the noise: same seed, same pictures; default 42`,
      }),
      42,
    ),
    conditioningScale: optional(option("--conditioning-scale", float({ min: 0, metavar: "X" }), {
      description: message`Strength of the guidance by neighbouring frames, 0 or more; default the model's`,
    })),
    precision: withDefault(
      option("--precision", choice(["f32", "f16", "auto"], { metavar: "KIND" }), {
        description:
          message`How weights are stored on the GPU: f32, f16 (half the memory, less exact) or auto (f16 on GPUs); default f32`,
      }),
      "f32",
    ),
    device: optional(option("--device", string({ metavar: "TEXT", pattern: /./ }), {
      description: message`Refuse to run unless the adapter's description holds this text`,
    })),
    allowCpu,
    progress: withDefault(
      option("--progress", choice(["auto", "bar", "json", "none"], { metavar: "KIND" }), {
        description:
          message`auto (a bar on a terminal, else lines), bar, json (one object per line on stderr) or none; default auto`,
      }),
      "auto",
    ),
    quiet: withDefault(
      flag("-q", "--quiet", { description: message`Print errors only, whatever --progress says` }),
      false,
    ),
    overwrite: withDefault(
      flag("-y", "--overwrite", { description: message`Replace output files that exist` }),
      false,
    ),
  }),
  {
    brief: message`Upscale a clip or a picture four times in width and height`,
    description: examples("deno task upscale -i frames/", "deno task upscale -i frames/ -o out/ --seed 7"),
    usageLine: [{ type: "literal", value: "-i PATH" }, ...OPTIONS],
  },
);

const demo = command("demo", object({ command: constant("demo") }), {
  brief:
    message`Upscale the bundled clip into demo/upscaled, on the CPU if need be, and compare with the truth`,
});

const compare = command(
  "compare",
  object({
    command: constant("compare"),
    input: option("-i", "--input", PATH, {
      description: message`Folder with the frames to judge, or one picture`,
    }),
    reference: option("-r", "--reference", PATH, {
      description: message`Folder with the true frames: same names, size and bit depth`,
    }),
    lowResolution: optional(option("--low-resolution", PATH, {
      description: message`Folder with the frames that were upscaled; adds bicubic upscaling to the table`,
    })),
  }),
  {
    brief: message`Print PSNR and SSIM of frames against their reference, mean over the frames`,
    description: examples(
      "deno task compare -i out/ -r truth/",
      "deno task compare -i out/ -r truth/ --low-resolution frames/",
    ),
    usageLine: [{ type: "literal", value: "-i PATH -r PATH" }, ...OPTIONS],
  },
);

const doctor = command("doctor", object({ command: constant("doctor"), allowCpu }), {
  brief: message`Show what WebGPU finds on this machine, try it, and say what to install`,
  description:
    message`Exits 0 if a hardware adapter works, else 69. With --allow-cpu, a software adapter will do.`,
});

const parser = or(upscale, demo, compare, doctor, {
  errors: { noMatch: message`No command: one of upscale, demo, compare and doctor is wanted.` },
});

/** A parsed command line; `command` tells the variants apart. */
export type CliCommand = InferValue<typeof parser>;
/** Settings of `upscale`. */
export type UpscaleCommand = Extract<CliCommand, { command: "upscale" }>;
/** Settings of `compare`. */
export type CompareCommand = Extract<CliCommand, { command: "compare" }>;
/** Settings of `doctor`. */
export type DoctorCommand = Extract<CliCommand, { command: "doctor" }>;

/** Parses a command line. Prints help or version and exits 0, or says what is wrong and exits 64. */
export function parseArguments(args: readonly string[]): CliCommand {
  return run(parser, {
    args: args.map(withDashes),
    programName: "deno task",
    brief: message`Diffusion video super-resolution x4 on WebGPU`,
    description: examples("deno task upscale -i frames/", "deno task doctor"),
    usageLine: [{ type: "literal", value: "COMMAND" }, ...OPTIONS],
    help: { option: { names: ["-h", "--help"] } },
    version: { value: config.version, option: { names: ["-V", "--version"] } },
    aboveError: "none",
    errorExitCode: EXIT.usage,
    stderr: printUsageError,
    colors: false,
    termWidth: "auto",
  });
}

/** Accepts `--some_flag`, the spelling of Python tools, for `--some-flag`. */
function withDashes(arg: string): string {
  return arg.replace(/^--[a-z_]+/, (name) => name.replaceAll("_", "-"));
}

function examples(...lines: readonly string[]): Message {
  return [
    ...message`Examples:`,
    ...lines.flatMap((line) => [lineBreak(), text(`  ${line}`)]),
  ];
}

function printUsageError(text: string): void {
  // deno-lint-ignore no-console -- a command prints
  console.error(`${text.trimEnd()}\nAll flags and their values: deno task COMMAND --help`);
}
