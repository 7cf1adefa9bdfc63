/**
 * What went wrong with a hub: there is no such model; access is refused; the network must not be used; what is there
 * cannot be used; bytes or answers are not what they must be; or nothing answers now, and a later try may succeed.
 */
export type HubProblem = "missing" | "refused" | "offline" | "unusable" | "corrupt" | "busy";

/** A model cannot be had from a hub; `problem` says of which kind. */
export class HubError extends Error {
  /** The class, for messages. */
  override readonly name = "HubError";
  readonly problem: HubProblem;
  /** How long the server wants to be left alone, in milliseconds; null where it does not say. */
  readonly retryAfterMs: number | null;

  constructor(
    problem: HubProblem,
    message: string,
    { retryAfterMs = null, ...options }: ErrorOptions & { readonly retryAfterMs?: number | null } = {},
  ) {
    super(message, options);
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }
}
