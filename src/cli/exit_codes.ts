import { CheckpointError, ConfigError, MissingModelError } from "../checkpoint/errors.ts";
import { GpuError, LimitError, NoAdapterError } from "../gpu/errors.ts";
import { HubError, type HubProblem } from "../hub/errors.ts";
import { FrameFolderError } from "../media/frame_folder.ts";
import { BlankFrameError, NonFiniteError } from "../vsr/errors.ts";
import { JobError } from "../vsr/job_folder.ts";

/** Exit codes, after BSD's sysexits.h; schedulers may retry `io` and `temporary`. */
export const EXIT = {
  ok: 0,
  /** The command line is wrong. */
  usage: 64,
  /** A picture or the model's content cannot be used. */
  badInput: 65,
  /** The input does not exist or has no frames. */
  noInput: 66,
  /** No usable GPU or one too small for the frames, or the model or parts of it are missing or cannot be fetched. */
  unavailable: 69,
  /** An error that nobody expected. */
  bug: 70,
  /** The output cannot be created, exists already, is in use, or belongs to an unfinished job begun differently. */
  cannotCreate: 73,
  /** Reading, writing or downloading failed midway. */
  io: 74,
  /** The GPU went away, is out of memory or failed inside, or the hub does not answer now. */
  temporary: 75,
  /** Deno was started without a permission that the command needs. */
  noPermission: 77,
  /** Stopped by SIGINT. */
  sigint: 130,
  /** Stopped by SIGTERM. */
  sigterm: 143,
} as const;

/** For the kinds of trouble with a hub. */
const HUB_EXITS = {
  missing: EXIT.unavailable,
  refused: EXIT.unavailable,
  offline: EXIT.unavailable,
  unusable: EXIT.badInput,
  corrupt: EXIT.io,
  busy: EXIT.temporary,
} as const satisfies Record<HubProblem, number>;

/** One of the codes of `EXIT`. */
export type ExitCode = typeof EXIT[keyof typeof EXIT];

/** A failure that the command line found itself; `exitCode` says of which kind. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** The exit code for anything thrown; what is not known is a bug. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof FrameFolderError) return error.code === "no_input" ? EXIT.noInput : EXIT.badInput;
  if (error instanceof MissingModelError || error instanceof NoAdapterError) return EXIT.unavailable;
  if (error instanceof LimitError) return EXIT.unavailable;
  if (error instanceof CheckpointError || error instanceof ConfigError) return EXIT.badInput;
  if (error instanceof NonFiniteError || error instanceof BlankFrameError) return EXIT.badInput;
  if (error instanceof HubError) return HUB_EXITS[error.problem];
  if (error instanceof JobError) return EXIT.cannotCreate;
  // Validation errors are mistakes of this program.
  if (error instanceof GpuError && error.kind !== "validation") return EXIT.temporary;
  const reasons = [error, error instanceof Error ? error.cause : undefined];
  if (reasons.some((reason) => reason instanceof Deno.errors.NotCapable)) return EXIT.noPermission;
  if (reasons.some(isSystemError)) return EXIT.io;
  return EXIT.bug;
}

/** Errors of the operating system carry a code such as "ENOSPC"; those of Node's API start with "ERR_". */
function isSystemError(error: unknown): boolean {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === "string" && /^E(?!RR_)[A-Z0-9]+$/.test(code);
}
