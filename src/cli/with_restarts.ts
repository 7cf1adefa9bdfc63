import { GpuError } from "../gpu/errors.ts";
import type { Reporter } from "./progress.ts";

const RESTARTS = 3;

/**
 * Calls `work` until it succeeds, up to four times as long as it fails because the GPU went away, ran out of memory or
 * failed inside; each call must open the device anew. Reports every restart. Lets other errors through, and the last.
 */
export async function withRestarts(
  work: () => Promise<void>,
  { reporter, signal }: { readonly reporter: Reporter; readonly signal: AbortSignal },
): Promise<void> {
  for (let restart = 1;; restart++) {
    try {
      return await work();
    } catch (error) {
      if (!mayPass(error) || restart > RESTARTS || signal.aborted) throw error;
      reporter.report({ event: "restart", restart, restarts: RESTARTS, message: error.message });
    }
  }
}

/** Validation errors are mistakes of this program, which it would make again. */
function mayPass(error: unknown): error is GpuError {
  return error instanceof GpuError && error.kind !== "validation";
}
