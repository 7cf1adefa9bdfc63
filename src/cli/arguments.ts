import { object, or } from "@optique/core/constructs";
import { lineBreak, type Message, message, text } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import type { InferValue } from "@optique/core/parser";
import { argument, command, constant, flag, option } from "@optique/core/primitives";
import type { Usage } from "@optique/core/usage";
import { choice, float, integer, string } from "@optique/core/valueparser";
import { run } from "@optique/run";
import config from "../../deno.json" with { type: "json" };
import { REPO_NAME } from "../hub/cache.ts";
import { BUNDLED } from "./bundled.ts";
import { byteSize } from "./byte_size.ts";
import { EXIT } from "./exit_codes.ts";
import { defaultOutput } from "./output_folder.ts";

const PATH = path("PATH");
const FOLDER = path("FOLDER");
const REPO = string({
  metavar: "OWNER/NAME",
  pattern: REPO_NAME,
  errors: { patternMismatch: (input) => message`Expected a model's name on the hub, but got ${input}.` },
});
const SEED = integer({
  min: 0,
  metavar: "N",
  errors: {
    unsafeInteger: (input) => message`Expected at most ${String(Number.MAX_SAFE_INTEGER)}, but got ${input}.`,
  },
});
/** Synopses name what must be given; the rest stands in the list below them. */
const OPTIONS: Usage = [{ type: "ellipsis" }];

const allowCpu = withDefault(
  flag("--allow-cpu", {
    description: message`Accept a software adapter, which computes on the CPU: correct, but slow`,
  }),
  false,
);

const input = option("-i", "--input", PATH, {
  description: message`Folder with the frames of one clip, or one picture: PNG, JPEG or WebP`,
});
const model = optional(option("-m", "--model", FOLDER, {
  description:
    message`Model folder in diffusers' layout, or OWNER/NAME of a fetched model; default the bundled weights/nano`,
}));
const flow = optional(option("--flow", PATH, {
  description:
    message`Weights of the optical flow instead of the model's: a .pth or .safetensors file of torchvision's raft_large or raft_small, or a folder with weights and config.json`,
}));
const temporal = optional(option("--temporal", FOLDER, {
  description:
    message`Temporal module instead of the model's: a folder with config.json and weights of a DGAFNetModel or a ControlNetModel`,
}));
const noiseLevel = optional(option("--noise-level", integer({ min: 0, metavar: "N" }), {
  description:
    message`How noisy frames are taken to be, for models with noise levels (the x4-upscaler), which add that much; default 20`,
}));
const prompt = optional(option("--prompt", string({ metavar: "TEXT" }), {
  description: message`What the frames show, in words, for models with a text encoder; default nothing`,
}));
const negativePrompt = optional(option("--negative-prompt", string({ metavar: "TEXT" }), {
  description: message`What they should not look like; needs a guidance scale above 1; default nothing`,
}));
const guidanceScale = optional(option("--guidance-scale", float({ min: 0, metavar: "X" }), {
  description:
    message`How far the prompt leads away from the negative one; above 1 each step takes up to twice as long, up to 1 it is off; default the model's`,
}));
const steps = optional(option("--steps", "--num-inference-steps", integer({ min: 1, metavar: "N" }), {
  description: message`Sampling steps; default the model's`,
}));
const precision = withDefault(
  option("--precision", choice(["f32", "f16", "auto"], { metavar: "KIND" }), {
    description:
      message`How weights are stored on the GPU: f32, f16 (half the memory, less exact) or auto (f16 on GPUs and where memory is short); default f32`,
  }),
  "f32",
);
const maxGpuMemory = optional(option("--max-gpu-memory", byteSize(), {
  description:
    message`GPU memory to keep to, such as 3GB or 800MiB; refused where nothing that is allowed is enough; default no limit`,
}));
const vaeTiling = withDefault(
  flag("--vae-tiling", {
    description:
      message`Allow decoding in overlapping tiles where memory is short or the GPU cannot hold a whole frame; brightness may differ slightly between them`,
  }),
  false,
);
const device = optional(option("--device", string({ metavar: "TEXT", pattern: /./ }), {
  description: message`Refuse to run unless the adapter's description holds this text`,
}));

const progress = withDefault(
  option("--progress", choice(["auto", "bar", "json", "none"], { metavar: "KIND" }), {
    description:
      message`auto (a bar on a terminal, else lines), bar, json (one object per line on stderr) or none; default auto`,
  }),
  "auto",
);
const quiet = withDefault(
  flag("-q", "--quiet", { description: message`Print errors only, whatever --progress says` }),
  false,
);

const upscale = command(
  "upscale",
  object({
    command: constant("upscale"),
    input,
    output: optional(option("-o", "--output", FOLDER, {
      description:
        message`Folder for the PNG files, named as the input; default NAME_upscaled beside the input`,
    })),
    model,
    flow,
    temporal,
    steps,
    scheduler: optional(option("--scheduler", choice(["ddpm", "ddim"], { metavar: "KIND" }), {
      description:
        message`Scheduler to sample with, ddpm or ddim, built from the configuration of the model's; default the model's`,
    })),
    prompt,
    negativePrompt,
    guidanceScale,
    noiseLevel,
    seed: withDefault(
      option("--seed", SEED, {
        description: message`Seed of the noise: same seed, same pictures; default 42`,
      }),
      42,
    ),
    conditioningScale: optional(option("--conditioning-scale", float({ min: 0, metavar: "X" }), {
      description: message`Strength of the guidance by neighbouring frames, 0 or more; default the model's`,
    })),
    precision,
    maxGpuMemory,
    vaeTiling,
    tuning: withDefault(
      option("--tuning", choice(["auto", "off", "force"], { metavar: "KIND" }), {
        description:
          message`Kernels by what was measured on this GPU, which takes seconds and is kept (auto), by expectation (off), or measured anew (force); default auto`,
      }),
      "auto",
    ),
    device,
    allowCpu,
    progress,
    quiet,
    overwrite: withDefault(
      flag("-y", "--overwrite", {
        description:
          message`Replace output files that exist, and start over where an unfinished job was begun differently`,
      }),
      false,
    ),
    noResume: withDefault(
      flag("--no-resume", {
        description: message`Drop what an unfinished job in the output folder has done, and start over`,
      }),
      false,
    ),
  }),
  {
    brief: message`Upscale a clip or a picture four times in width and height`,
    description: examples("deno task upscale -i frames/", "deno task upscale -i frames/ -o out/ --seed 7"),
    usageLine: [{ type: "literal", value: "-i PATH" }, ...OPTIONS],
  },
);

const plan = command(
  "plan",
  object({
    command: constant("plan"),
    input,
    model,
    flow,
    temporal,
    steps,
    prompt,
    negativePrompt,
    guidanceScale,
    noiseLevel,
    precision,
    maxGpuMemory,
    vaeTiling,
    device,
    allowCpu,
  }),
  {
    brief: message`Print what upscaling would take of memory, disk and time, without doing it`,
    description: examples("deno task plan -i frames/", "deno task plan -i frames/ --max-gpu-memory 3GB"),
    usageLine: [{ type: "literal", value: "-i PATH" }, ...OPTIONS],
  },
);

const fetch = command(
  "fetch",
  object({
    command: constant("fetch"),
    repo: argument(REPO, {
      description: message`Model on the hub, in diffusers' layout`,
    }),
    revision: withDefault(
      option("--revision", string({ metavar: "REV", pattern: /./ }), {
        description: message`Branch, tag or commit; default main, which is what --model OWNER/NAME uses`,
      }),
      "main",
    ),
    dryRun: withDefault(
      flag("--dry-run", { description: message`Print the files and their sizes, and fetch nothing` }),
      false,
    ),
    progress,
    quiet,
  }),
  {
    brief: message`Download a model into the hub's usual cache; a stopped download goes on`,
    description: examples("deno task fetch OWNER/NAME", "deno task upscale -i frames/ -m OWNER/NAME"),
    usageLine: [{ type: "literal", value: "OWNER/NAME" }, ...OPTIONS],
  },
);

const convert = command(
  "convert",
  object({
    command: constant("convert"),
    model: option("-m", "--model", FOLDER, {
      description: message`Model folder in diffusers' layout, or OWNER/NAME of a fetched model`,
    }),
    flow,
    temporal,
    output: option("-o", "--output", FOLDER, {
      description: message`Folder for the converted model`,
    }),
    precision: withDefault(
      option("--precision", choice(["f16", "f32"], { metavar: "KIND" }), {
        description:
          message`How weights are stored: f16 where upscale --precision f16 does it, or f32, which rounds nothing; default f16`,
      }),
      "f16",
    ),
    progress,
    quiet,
    overwrite: withDefault(
      flag("-y", "--overwrite", {
        description: message`Replace files of a model that the output folder holds`,
      }),
      false,
    ),
  }),
  {
    brief: message`Write a model as a folder of plain names with f16 weights, half as large`,
    description: examples(
      "deno task convert -m OWNER/NAME -o model/",
      "deno task convert -m downloads/model/ --flow raft_large.pth --temporal downloads/module/ -o model/",
    ),
    usageLine: [{ type: "literal", value: "-m FOLDER -o FOLDER" }, ...OPTIONS],
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
      description:
        message`Folder with the true frames, or the true picture: same names but for the extension, same size and bit depth`,
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

const COMMANDS = { upscale, plan, fetch, convert, demo, compare, doctor };
const parser = or(upscale, plan, fetch, convert, demo, compare, doctor, {
  errors: {
    noMatch: message`No command: one of upscale, plan, fetch, convert, demo, compare and doctor is wanted.`,
  },
});

/** A parsed command line; `command` tells the variants apart. */
export type CliCommand = ReturnType<typeof withAllPaths>;
/** Settings of `upscale`. */
export type UpscaleCommand = Extract<CliCommand, { command: "upscale" }>;
/** Settings of `plan`. */
export type PlanCommand = Extract<CliCommand, { command: "plan" }>;
/** Settings of `fetch`. */
export type FetchCommand = Extract<CliCommand, { command: "fetch" }>;
/** Settings of `convert`. */
export type ConvertCommand = Extract<CliCommand, { command: "convert" }>;
/** Settings of `compare`. */
export type CompareCommand = Extract<CliCommand, { command: "compare" }>;
/** Settings of `doctor`. */
export type DoctorCommand = Extract<CliCommand, { command: "doctor" }>;

/** Parses a command line. Prints help or version and exits 0, or says what is wrong and exits 64. */
export function parseArguments(args: readonly string[]): CliCommand {
  const parsed = run(parser, {
    args: args.map(withDashes),
    programName: "deno task",
    brief: message`Diffusion video super-resolution x4 on WebGPU`,
    description: examples("deno task upscale -i frames/", "deno task doctor"),
    usageLine: [{ type: "literal", value: "COMMAND" }, ...OPTIONS],
    help: { option: { names: ["-h", "--help"] } },
    version: { value: config.version, option: { names: ["-V", "--version"] } },
    aboveError: "none",
    errorExitCode: EXIT.usage,
    stderr: (text) => printUsageError(text, args[0]),
    colors: false,
    termWidth: "auto",
  });
  return withAllPaths(parsed);
}

/** Fills in the paths that were left out: permissions are asked for all of them. */
function withAllPaths(parsed: InferValue<typeof parser>) {
  switch (parsed.command) {
    case "upscale": {
      const { input, output = defaultOutput(input), model = BUNDLED.model } = parsed;
      return { ...parsed, output, model };
    }
    case "plan": {
      const { model = BUNDLED.model } = parsed;
      return { ...parsed, model };
    }
    default:
      return parsed;
  }
}

function path(metavar: "PATH" | "FOLDER") {
  const patternMismatch = (input: string) => message`Expected a path, but got ${input}.`;
  return string({ metavar, pattern: /./, errors: { patternMismatch } });
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

function printUsageError(text: string, first: string | undefined): void {
  const command = first !== undefined && Object.hasOwn(COMMANDS, first) ? first : "COMMAND";
  // deno-lint-ignore no-console -- a command prints
  console.error(`${text.trimEnd()}\nAll flags and their values: deno task ${command} --help`);
}
