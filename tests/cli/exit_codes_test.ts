import { strictEqual } from "node:assert/strict";
import { CheckpointError, ConfigError, MissingModelError } from "../../src/checkpoint/errors.ts";
import { CliError, EXIT, exitCodeOf } from "../../src/cli/exit_codes.ts";
import { GpuError, NoAdapterError } from "../../src/gpu/errors.ts";
import { HubError } from "../../src/hub/errors.ts";
import { FrameFolderError } from "../../src/media/frame_folder.ts";
import { BlankFrameError, NonFiniteError } from "../../src/vsr/errors.ts";
import { JobError } from "../../src/vsr/job_folder.ts";

const full = Object.assign(new Error("No space left on device"), { code: "ENOSPC" });

const CASES: readonly [title: string, error: unknown, code: number][] = [
  ["a usage error", new CliError(EXIT.usage, "x"), 64],
  ["a bad picture", new FrameFolderError("bad_input", ["x"]), 65],
  ["a broken checkpoint", new CheckpointError("x"), 65],
  ["a bad configuration", new ConfigError("x"), 65],
  ["a model that computes no numbers", new NonFiniteError("x"), 65],
  ["a model that computes no picture", new BlankFrameError("x"), 65],
  ["missing input", new FrameFolderError("no_input", ["x"]), 66],
  ["a missing model", new MissingModelError("x"), 69],
  ["no adapter", new NoAdapterError("x"), 69],
  ["a GPU validation error", new GpuError("validation", "x"), 70],
  ["an internal GPU error", new GpuError("internal", "x"), 75],
  ["a range error", new RangeError("x"), 70],
  ["an error of Node's API", Object.assign(new Error("x"), { code: "ERR_INVALID_ARG_TYPE" }), 70],
  ["something that is no error", "x", 70],
  ["nothing", undefined, 70],
  ["a job that another run works on", new JobError("locked", "x"), 73],
  ["an unfinished job begun differently", new JobError("changed", "x"), 73],
  ["output that cannot be created", new CliError(EXIT.cannotCreate, "x"), 73],
  ["a full disk", full, 74],
  ["a write that failed for a full disk", new Error("Cannot write", { cause: full }), 74],
  ["a model that no hub has", new HubError("missing", "x"), 69],
  ["a model that may not be fetched", new HubError("refused", "x"), 69],
  ["a fetch without the network", new HubError("offline", "x"), 69],
  ["a fetched model of another layout", new HubError("unusable", "x"), 65],
  ["fetched bytes that are wrong", new HubError("corrupt", "x"), 74],
  ["a hub that does not answer", new HubError("busy", "x"), 75],
  ["a missing permission", new Deno.errors.NotCapable("x"), 77],
  ["a lost GPU", new GpuError("lost", "x"), 75],
  ["a GPU out of memory", new GpuError("out-of-memory", "x"), 75],
  ["SIGINT", new CliError(EXIT.sigint, "x"), 130],
  ["SIGTERM", new CliError(EXIT.sigterm, "x"), 143],
];

for (const [title, error, code] of CASES) {
  Deno.test(`exitCodeOf() gives ${code} for ${title}`, () => strictEqual(exitCodeOf(error), code));
}

Deno.test("exitCodeOf() knows the system's own error for a missing file", async () => {
  const error = await Deno.readFile("no/such/file").catch((error: unknown) => error);
  strictEqual(exitCodeOf(error), 74);
});
