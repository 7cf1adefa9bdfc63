/** Parsed JSON that keeps what `JSON.parse` loses: how numbers are written, and objects without prototypes. */
export type StrictJson = null | boolean | string | NumberText | StrictJson[] | Map<string, StrictJson>;

/** A number as it is written. */
export class NumberText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const MAX_DEPTH = 32;

/**
 * Parses JSON by the grammar of RFC 8259, character after character. Throws an Error for anything else, for a key that
 * appears twice in an object or is not Unicode, and for more than 32 levels.
 */
function parseStrictJson(text: string): StrictJson {
  let at = 0;

  function take(pattern: RegExp): string {
    const sticky = new RegExp(pattern, "y");
    sticky.lastIndex = at;
    const found = sticky.exec(text)?.[0];
    if (found === undefined) throw new Error(`at ${at}, wanted ${pattern}`);
    at += found.length;
    return found;
  }

  function space(): void {
    take(/[ \t\n\r]*/);
  }

  function string(): string {
    // deno-lint-ignore no-control-regex -- which JSON forbids inside strings
    const literal = take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/);
    return literal.slice(1, -1).replace(
      /\\(u[0-9a-fA-F]{4}|.)/g,
      (_, escape: string) =>
        escape.length > 1
          ? String.fromCharCode(parseInt(escape.slice(1), 16))
          : { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }[escape] ?? escape,
    );
  }

  /** What `item` reads, between brackets and with commas between. */
  function sequence(close: RegExp, item: () => void): void {
    at++;
    space();
    while (!new RegExp(close, "y").test(text[at] ?? "")) {
      item();
      space();
      if (text[at] !== ",") break;
      take(/,[ \t\n\r]*(?![\]}])/);
    }
    take(close);
  }

  function value(depth: number): StrictJson {
    const first = text[at] ?? "";
    if ("{[".includes(first) && first !== "" && depth === MAX_DEPTH) throw new Error("too deep");
    if (first === "{") {
      const object = new Map<string, StrictJson>();
      sequence(/\}/, () => {
        const key = string();
        if (object.has(key) || !key.isWellFormed()) throw new Error(`key ${key}`);
        space();
        take(/:/);
        space();
        object.set(key, value(depth + 1));
      });
      return object;
    }
    if (first === "[") {
      const array: StrictJson[] = [];
      sequence(/\]/, () => array.push(value(depth + 1)));
      return array;
    }
    if (first === '"') return string();
    if (/[-\d]/.test(first)) return new NumberText(take(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/));
    return { true: true, false: false, null: null }[take(/true|false|null/)]!;
  }

  space();
  const root = value(0);
  space();
  if (at !== text.length) throw new Error(`text after the end, at ${at}`);
  return root;
}

/** Parses `bytes` as UTF-8 and JSON. Throws as `parseStrictJson`, and where the bytes are not UTF-8. */
export function parseStrictJsonBytes(bytes: Uint8Array): StrictJson {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  // A decoder that replaces what is broken gives another text, so it does not encode back to the same bytes.
  const back = new TextEncoder().encode(text);
  if (back.length !== bytes.length || back.some((byte, i) => byte !== bytes[i])) throw new Error("not UTF-8");
  return parseStrictJson(text);
}
