import { CliError, EXIT } from "./exit_codes.ts";

const SIGNALS = [["SIGINT", EXIT.sigint], ["SIGTERM", EXIT.sigterm]] as const;

/**
 * Runs `use` with a signal that SIGINT and SIGTERM abort, with a `CliError` that carries their exit code. A second
 * one ends the process without waiting for `use`. Deno delivers neither while a wait for the GPU blocks the thread.
 */
export async function interruptible<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  // Windows knows no SIGTERM.
  const signals = SIGNALS.filter(([name]) => name === "SIGINT" || Deno.build.os !== "windows");
  const listeners = signals.map(([name, exitCode]) => {
    const listener = () => {
      if (controller.signal.aborted) Deno.exit(exitCode);
      controller.abort(new CliError(exitCode, `Stopped by ${name}`));
    };
    Deno.addSignalListener(name, listener);
    return () => Deno.removeSignalListener(name, listener);
  });
  try {
    return await use(controller.signal);
  } finally {
    for (const remove of listeners) remove();
  }
}
