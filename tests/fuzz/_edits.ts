import fc from "fast-check";

/** One change to bytes or tokens; positions and choices are taken modulo what there is. */
export interface Edit {
  readonly kind: "alter" | "replace" | "insert" | "remove" | "repeat" | "swap";
  readonly at: number;
  readonly value: number;
}

const BYTES = [..."\0\t\n\x1b \"'+,-.0159:AZ[\\]_aez{}~"].map((c) => c.charCodeAt(0)).concat(
  0x7f,
  0xc0,
  0xff,
);

const NUMBERS = [
  ...["0", "1", "2", "3", "4", "7", "8", "16", "64", "4096", "4097", "65536", "16777217", "2147483648"],
  ...["-1", "-0", "1.0", "1e3", "1e999", "0.5", "1e-7", "01", "4294967296", "9007199254740991"],
  ...["9007199254740993", "9223372036854775807", "18446744073709551614"],
];
const STRINGS = [
  ...["F32", "U8", "I64", "F4", "F6_E3M2", "F64", "F31", "4", "", "\\u0061", "a", "\\ud800", "__proto__"],
  ...[
    "constructor",
    "toString",
    "\\u001b[2J\\u0000",
    "shape",
    "dtype",
    "x\u202ey",
    "_note",
    "../a.safetensors",
  ],
  ...["a.safetensors", ".a.safetensors", "b.safetensors", "silu", "DDIMScheduler", "UpBlock2D"],
].map((text) => `"${text}"`);
/** Tokens that a reader of JSON may stumble over. */
const TOKENS = [
  ...NUMBERS,
  ...STRINGS,
  ...["null", "true", "false", "{", "}", "[", "]", "[]", "{}", ":", ",", "\ufeff", "/**/", "'a'", '"', "NaN"],
  ...[',"x"', ",3", ',"x":1', ',"_x":1', ',"x":null'],
  ...["[".repeat(40), `${"[".repeat(33)}${"]".repeat(33)}`, `[${"0,".repeat(2000)}0]`],
];

/** Most changes keep JSON what it is, because others do not get past the parser. */
const KINDS = [
  ...Array<"alter">(12).fill("alter"),
  ...(["replace", "insert", "remove", "repeat", "swap"] as const),
];

/** One to `max` edits. */
export function edits(max: number): fc.Arbitrary<Edit[]> {
  const edit = fc.record({
    kind: fc.constantFrom(...KINDS),
    at: fc.nat(),
    value: fc.nat(),
  });
  return fc.array(edit, { minLength: 1, maxLength: max });
}

/** `bytes` after `changes`, which strike the first kilobyte mostly. */
export function editBytes(bytes: Uint8Array, changes: readonly Edit[]): Uint8Array {
  const all = [...bytes];
  for (const { kind, at, value } of changes) {
    const length = value % 3 === 0 ? all.length : Math.min(all.length, 1024);
    apply(all, {
      kind,
      at: at % Math.max(1, length),
      other: value,
      items: value % 5 ? BYTES : [value % 256],
    });
  }
  return Uint8Array.from(all);
}

/** JSON `text` after `changes` to its tokens. */
export function editTokens(text: string, changes: readonly Edit[]): string {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[-+.\w]+|\s+|[^]/g) ?? [];
  for (const { kind, at, value } of changes) {
    if (kind === "alter") alter(tokens, { at, value });
    else apply(tokens, { kind, at: at % Math.max(1, tokens.length), other: value, items: TOKENS });
  }
  return tokens.join("");
}

/** Puts another value in place of a number or string: one of the same kind, or a number a little off. */
function alter(tokens: string[], { at, value }: { readonly at: number; readonly value: number }): void {
  const values = tokens.flatMap((token, i) => /^["\d]/.test(token) ? [i] : []);
  if (values.length === 0) return;
  const place = values[at % values.length]!, token = tokens[place]!;
  const isNumber = token[0] !== '"';
  if (isNumber && value % 2 === 0) tokens[place] = String(Number(token) + [-4, -1, 1, 4][value / 2 % 4]!);
  else if (value % 7 === 0) tokens[place] = TOKENS[value % TOKENS.length]!;
  else tokens[place] = isNumber ? NUMBERS[value % NUMBERS.length]! : STRINGS[value % STRINGS.length]!;
}

function apply<T>(
  list: T[],
  edit: Omit<Edit, "value"> & { readonly other: number; readonly items: readonly T[] },
): void {
  const { kind, at, other, items } = edit;
  const item = items[other % items.length]!;
  const end = at + 1 + other % 8;
  switch (kind) {
    case "alter":
    case "replace":
      list[at] = item;
      break;
    case "insert":
      list.splice(at, 0, item);
      break;
    case "remove":
      list.splice(at, other % 4 === 0 ? end - at : 1);
      break;
    case "repeat":
      list.splice(at, 0, ...list.slice(at, end));
      break;
    case "swap": {
      const to = other % Math.max(1, list.length);
      if (list.length > 0) [list[at], list[to]] = [list[to]!, list[at]!];
    }
  }
}
