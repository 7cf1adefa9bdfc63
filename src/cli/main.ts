// The command line: parses it, runs one command and exits with a code of `EXIT`.

import { escapeName } from "../media/escape_name.ts";
import { type CliCommand, parseArguments } from "./arguments.ts";
import { compare } from "./compare.ts";
import { demo } from "./demo.ts";
import { doctor } from "./doctor.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit_codes.ts";
import { Reporter, type ReportMode } from "./progress.ts";
import { upscale } from "./upscale.ts";

/** Runs one command to its exit code. */
async function runCommand(command: CliCommand, reporter: Reporter): Promise<ExitCode> {
  switch (command.command) {
    case "upscale":
      await upscale(command, reporter);
      return EXIT.ok;
    case "demo":
      await demo(reporter);
      return EXIT.ok;
    case "compare":
      await compare(command);
      return EXIT.ok;
    case "doctor":
      return await doctor(command);
  }
}

function reportMode(command: CliCommand): ReportMode {
  if (command.command === "upscale") {
    if (command.quiet) return "quiet";
    if (command.progress !== "auto") return command.progress;
  }
  return Deno.stderr.isTerminal() ? "bar" : "lines";
}

/** Reports an error, of unexpected ones also where they come from, and exits. */
function fail(error: unknown, reporter: Reporter): never {
  const exit_code = exitCodeOf(error);
  let message = error instanceof Error ? error.message : String(error);
  if (exit_code === EXIT.bug) {
    const stack = error instanceof Error ? error.stack : undefined;
    message = `${
      escapeName(message)
    }\nThis is a bug in this program; please report it with the lines below\n${stack}`;
  }
  reporter.report({ event: "error", exit_code, message });
  Deno.exit(exit_code);
}

function writeToStderr(text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let written = 0; written < bytes.length;) {
      written += Deno.stderr.writeSync(bytes.subarray(written));
    }
  } catch (error) {
    // Whoever read the messages has gone; the work goes on.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

const command = parseArguments(Deno.args);
const reporter = new Reporter(reportMode(command), { write: writeToStderr, now: () => performance.now() });
globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason, reporter);
});
try {
  Deno.exit(await runCommand(command, reporter));
} catch (error) {
  fail(error, reporter);
}
