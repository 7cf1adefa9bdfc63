import { message } from "@optique/core/message";
import type { ValueParser } from "@optique/core/valueparser";
import { formatByteSize, parseByteSize } from "../text/byte_size.ts";

/** Parser of a size in bytes with a unit; see `parseByteSize()`. */
export function byteSize(): ValueParser<"sync", number> {
  return {
    mode: "sync",
    metavar: "SIZE",
    placeholder: 1,
    parse(input) {
      const value = parseByteSize(input);
      if (value !== undefined) return { success: true, value };
      return {
        success: false,
        error: message`${input} is no size: a number with a unit is wanted, such as 3GB or 800MiB.`,
      };
    },
    format: formatByteSize,
  };
}
