/** How many problems a message shows; the rest are counted, and all of them are in `problems`. */
const SHOWN_PROBLEMS = 100;

/** An error with one sentence for each problem found; the list is empty where the message says it all. */
export abstract class ListedError extends Error {
  /** One sentence each. */
  readonly problems: readonly string[];

  /** The message gets the problems appended, the first hundred of them. */
  constructor(message: string, problems: readonly string[] = []) {
    super(withList(message, problems));
    this.problems = problems;
  }
}

/** A weight file's content cannot be used: broken, hostile, or not the tensors the network needs. */
export class CheckpointError extends ListedError {
  /** The class, for messages. */
  override readonly name = "CheckpointError";
}

/** A configuration asks for something that is malformed or not supported; each problem names file and key. */
export class ConfigError extends ListedError {
  /** The class, for messages. */
  override readonly name = "ConfigError";
}

/** A model folder, or files that it must hold, are not there; each problem names one missing part. */
export class MissingModelError extends ListedError {
  /** The class, for messages. */
  override readonly name = "MissingModelError";
}

/** `text` with control and non-ASCII characters escaped, so that names from files cannot steer a terminal. */
export function escapeText(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex
    /[\u0000-\u001f\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A name or value from a file as JSON, cut after 200 characters and escaped. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return escapeText(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}

function withList(message: string, problems: readonly string[]): string {
  if (problems.length === 0) return message;
  const lines = problems.slice(0, SHOWN_PROBLEMS);
  if (problems.length > lines.length) lines.push(`and ${problems.length - lines.length} more`);
  return `${message}\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
