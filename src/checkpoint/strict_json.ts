import { escapeName } from "../text/escape_name.ts";
import { quote } from "./errors.ts";

/** Deeper nesting than any header, index or configuration has. */
const MAX_DEPTH = 32;

/** What `parseJson` asks beyond plain JSON. */
export interface ParseJsonOptions {
  /** Numbers must be whole, not negative and written in digits only (no `1.0`, `1e3`, `-0`). */
  readonly plainIntegers?: boolean;
}

/**
 * Parses JSON from an untrusted file: as `JSON.parse`, but a key that appears twice in one object is an error
 * (`JSON.parse` keeps the last), as is a key with half a surrogate pair, and nesting is limited. Throws SyntaxError.
 */
export function parseJson(text: string, options: ParseJsonOptions = {}): unknown {
  scan(text, options.plainIntegers ?? false);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SyntaxError(`not valid JSON (${escapeName((error as Error).message).slice(0, 200)})`);
  }
}

/** Looks at keys, depth and numbers only; whether the text is JSON at all is for `JSON.parse` to say. */
function scan(text: string, plainIntegers: boolean): void {
  const objects: (Set<string> | null)[] = []; // the keys of each open object, null for an open array
  const number = /[-\d][-+.\deE]*/y;
  let keyIsNext = false;
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case "{":
      case "[":
        if (objects.length === MAX_DEPTH) throw new SyntaxError(`nested deeper than ${MAX_DEPTH} levels`);
        keyIsNext = text[i] === "{";
        objects.push(keyIsNext ? new Set() : null);
        break;
      case "}":
      case "]":
        objects.pop();
        keyIsNext = false;
        break;
      case ",":
        keyIsNext = objects.at(-1) instanceof Set;
        break;
      case '"': {
        const end = endOfString(text, i);
        if (keyIsNext) addKey(objects.at(-1)!, text.slice(i, end + 1));
        keyIsNext = false;
        i = end;
        break;
      }
      default:
        if (!plainIntegers) break;
        number.lastIndex = i;
        if (number.test(text)) {
          const digits = text.slice(i, number.lastIndex);
          if (!/^\d+$/.test(digits)) {
            throw new SyntaxError(`number ${digits.slice(0, 40)} is not plain digits`);
          }
          i = number.lastIndex - 1;
        }
    }
  }
}

/** Index of the quote that closes the string opened at `start`; the text's end when there is none. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i;
  }
  return text.length;
}

function addKey(keys: Set<string>, literal: string): void {
  let key: string;
  try {
    key = JSON.parse(literal); // "\u0061" and "a" are one key
  } catch {
    throw new SyntaxError(`not valid JSON (key ${quote(literal)})`);
  }
  if (!key.isWellFormed()) throw new SyntaxError(`key ${quote(key)} is not Unicode`);
  if (keys.has(key)) throw new SyntaxError(`key ${quote(key)} appears twice`);
  keys.add(key);
}
