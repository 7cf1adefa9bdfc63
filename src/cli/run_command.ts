import { linkSnapshot, type Snapshot } from "../hub/link_snapshot.ts";
import type { CliCommand } from "./arguments.ts";
import { compare } from "./compare.ts";
import { convert } from "./convert.ts";
import { demo } from "./demo.ts";
import { doctor } from "./doctor.ts";
import { EXIT, type ExitCode } from "./exit_codes.ts";
import { fetchCommand } from "./fetch.ts";
import { openReporter, reportError } from "./open_reporter.ts";
import { plan } from "./plan.ts";
import type { Reporter } from "./progress.ts";
import { upscale } from "./upscale.ts";

/**
 * Runs one command in this thread and reports on stderr how it goes and ends. Returns the exit code.
 *
 * When `signal` aborts, with a `CliError` as its reason, the command finishes what it must not leave half done. `link`
 * makes the folder of a fetched model, where this thread may not.
 */
export async function runCommand(
  command: CliCommand,
  { signal, link = linkSnapshot }: {
    readonly signal: AbortSignal;
    readonly link?: (snapshot: Snapshot) => Promise<void>;
  },
): Promise<ExitCode> {
  const reporter = openReporter(command);
  signal.addEventListener("abort", () => {
    const message = `${signal.reason.message}: finishing the work at hand; a second signal ends it at once`;
    reporter.report({ event: "warning", message });
  });
  const stray = Promise.withResolvers<never>();
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    stray.reject(event.reason);
  });
  try {
    return await Promise.race([run(command, { reporter, signal, link }), stray.promise]);
  } catch (error) {
    return reportError(error, reporter);
  }
}

/** What a command works with besides its settings. */
interface RunContext {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  readonly link: (snapshot: Snapshot) => Promise<void>;
}

async function run(command: CliCommand, context: RunContext): Promise<ExitCode> {
  switch (command.command) {
    case "upscale":
      await upscale(command, context);
      return EXIT.ok;
    case "plan":
      await plan(command);
      return EXIT.ok;
    case "fetch":
      await fetchCommand(command, context);
      return EXIT.ok;
    case "convert":
      await convert(command, context);
      return EXIT.ok;
    case "demo":
      await demo(context);
      return EXIT.ok;
    case "compare":
      await compare(command);
      return EXIT.ok;
    case "doctor":
      return await doctor(command);
  }
}
