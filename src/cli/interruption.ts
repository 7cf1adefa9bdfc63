import { CliError, EXIT } from "./exit_codes.ts";

/** Signals that stop a run, and the exit codes they lead to. */
const EXIT_CODES = { SIGINT: EXIT.sigint, SIGTERM: EXIT.sigterm } as const;

/** A signal that stops a run. */
export type Interruption = keyof typeof EXIT_CODES;

/** Calls `listener` at each SIGINT and SIGTERM, which end the process no longer by themselves. */
export function onInterruption(listener: (interruption: Interruption) => void): void {
  // Windows knows no SIGTERM.
  const signals: Interruption[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const signal of signals) Deno.addSignalListener(signal, () => listener(signal));
}

/** What a run that a signal stopped ends with; carries the exit code. */
export function interruptionError(interruption: Interruption): CliError {
  return new CliError(EXIT_CODES[interruption], `Stopped by ${interruption}`);
}
