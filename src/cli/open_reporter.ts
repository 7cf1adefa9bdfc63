import { escapeName } from "../text/escape_name.ts";
import type { CliCommand } from "./arguments.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit_codes.ts";
import { Reporter, type ReportMode } from "./progress.ts";

/** A reporter on stderr that shows what `command` asks for; without a command, lines. */
export function openReporter(command: CliCommand | null): Reporter {
  return new Reporter(reportMode(command), { write: writeToStderr, now: () => performance.now() });
}

/** Reports an error, of unexpected ones also where they come from. Returns the exit code for it. */
export function reportError(error: unknown, reporter: Reporter): ExitCode {
  const exit_code = exitCodeOf(error);
  let message = error instanceof Error ? error.message : String(error);
  if (exit_code === EXIT.bug) {
    const stack = error instanceof Error ? error.stack : undefined;
    message = `${
      escapeName(message)
    }\nThis is a bug in this program; please report it with the lines below\n${stack}`;
  }
  reporter.report({ event: "error", exit_code, message });
  return exit_code;
}

function reportMode(command: CliCommand | null): ReportMode {
  if (command && "progress" in command) {
    if (command.quiet) return "quiet";
    if (command.progress !== "auto") return command.progress;
  }
  return Deno.stderr.isTerminal() ? "bar" : "lines";
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
