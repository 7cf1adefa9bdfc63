import { object, or } from "@optique/core/constructs";
import { message, lineBreak } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { command, constant, flag, option } from "@optique/core/primitives";
import { choice, float, integer, string } from "@optique/core/valueparser";
import { run } from "@optique/run";
const upscale = command("upscale", object({
  command: constant("upscale"),
  input: option("-i","--input", string({metavar:"PATH"}), {description: message`Folder of frames, or one picture`}),
  output: optional(option("-o","--output", string({metavar:"FOLDER"}), {description: message`Folder to write`})),
  steps: optional(option("--steps","--num-inference-steps", integer({min:1}), {description: message`Sampling steps`})),
  scale: optional(option("--conditioning-scale", float({min:0}), {description: message`Sampling steps`})),
  progress: withDefault(option("--progress", choice(["auto","bar","json","none"]), {description: message`How`}), "auto"),
  quiet: withDefault(flag("-q","--quiet",{description: message`only errors`}), false),
}), { brief: message`Upscale a clip`, description: message`Examples:${lineBreak()}  deno task upscale -i frames${lineBreak()}  deno task upscale -i x` });
const doctor = command("doctor", object({command: constant("doctor"), allowCpu: withDefault(flag("--allow-cpu"), false)}), { brief: message`Check`});
const r = run(or(upscale, doctor), { programName: "deno task", args: Deno.args, errorExitCode: 64, colors: false, showDefault: true,
 help: { option: { names: ["-h","--help"] } }, version: { value: "0.1.0", option: { names: ["-V","--version"] } } , aboveError: "none", brief: message`A ×4`, termWidth:"auto"});
console.log(JSON.stringify(r));
