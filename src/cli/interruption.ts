import { CliError, EXIT } from "./exit_codes.ts";

/** Signals that stop a run, and the exit codes they lead to. */
const EXIT_CODES = { SIGINT: EXIT.sigint, SIGTERM: EXIT.sigterm } as const;

/** A signal that stops a run. */
export type Interruption = keyof typeof EXIT_CODES;

/**
 * Calls `listener` at the first SIGINT or SIGTERM. The next one ends the process as if nobody listened: by the system, since
 * an exit of our own would wait for the graphics stack, or crash in it while it compiles shaders.
 */
export function onInterruption(listener: (interruption: Interruption) => void): void {
  // Windows knows no SIGTERM.
  const signals: Interruption[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const listeners = signals.map((signal) => ({
    signal,
    listen() {
      for (const { signal, listen } of listeners) Deno.removeSignalListener(signal, listen);
      listener(signal);
    },
  }));
  for (const { signal, listen } of listeners) Deno.addSignalListener(signal, listen);
}

/** What a run that a signal stopped ends with; carries the exit code. */
export function interruptionError(interruption: Interruption): CliError {
  return new CliError(EXIT_CODES[interruption], `Stopped by ${interruption}`);
}
