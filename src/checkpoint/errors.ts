import { escapeName } from "../text/escape_name.ts";

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

/** A name or value from a file as JSON, cut after 200 characters and safe to print. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return escapeName(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}

function withList(message: string, problems: readonly string[]): string {
  if (problems.length === 0) return message;
  const lines = problems.slice(0, SHOWN_PROBLEMS);
  if (problems.length > lines.length) lines.push(`and ${problems.length - lines.length} more`);
  return `${message}\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
