import { setTimeout as delay } from "node:timers/promises";
import { HubError } from "./errors.ts";

/** Failures in a row after which the last one counts. */
const MAX_FAILURES = 5;
const FIRST_DELAY_MS = 1000;
/** Whoever is asked to wait longer should come back later. */
const LONGEST_DELAY_MS = 120_000;

/** How `withRetries` waits, and whom it tells. */
export interface RetryOptions {
  readonly signal: AbortSignal;
  /** Called before each wait with the error's message and the wait's length. */
  readonly onRetry: (message: string, delayMs: number) => void;
  /** Something that grows with success, by which failures start counting anew. It must be bounded. */
  readonly progress?: () => number;
  /** The first wait, which doubles with every further failure. Default 1000. */
  readonly firstDelayMs?: number | undefined;
}

/**
 * Calls `attempt` until it succeeds, again after a `HubError` of kind "busy" only: up to five times in a row without
 * progress, and as late as the server asks. Throws the last error with what to do, or the signal's reason.
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  { signal, onRetry, progress = Number, firstDelayMs = FIRST_DELAY_MS }: RetryOptions,
): Promise<T> {
  let failures = 0, best = progress();
  for (;;) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof HubError) || error.problem !== "busy" || signal.aborted) throw error;
      if (progress() > best) failures = 0;
      best = Math.max(best, progress());
      const delayMs = error.retryAfterMs ?? firstDelayMs * 2 ** failures;
      if (++failures === MAX_FAILURES || delayMs > LONGEST_DELAY_MS) throw givenUp(error);
      onRetry(error.message, delayMs);
      await delay(delayMs, undefined, { signal }).catch(ignore); // the loop looks at the signal
    }
  }
}

function givenUp({ message, retryAfterMs, cause }: HubError): HubError {
  const when = retryAfterMs ? `in ${Math.ceil(retryAfterMs / 1000)} s` : "later";
  return new HubError("busy", `${message}; run the same command again ${when}`, { retryAfterMs, cause });
}

function ignore(): void {}
