import { escapeName } from "../text/escape_name.ts";

/** The error for a file `name` that is not what `format` demands; `reason` says what is found and what is wanted. */
export function pictureError(format: string, options: { name: string; reason: string }): SyntaxError {
  return new SyntaxError(`Cannot decode ${format} "${escapeName(options.name)}": ${options.reason}`);
}
