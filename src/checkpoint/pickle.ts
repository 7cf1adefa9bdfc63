import { quote } from "./errors.ts";

/** What is called in place of an allowed function. May throw SyntaxError. */
export type PickleFunction = (args: readonly PickleValue[]) => PickleValue;
/** What a pickle may hold. A list stands for a tuple, a Map for a dict; other objects come from the rules. */
export type PickleValue = string | number | boolean | null | object;

/** What a pickle may refer to. */
export interface PickleRules {
  /** By module and name, such as "collections.OrderedDict": a function, or what a class stands for. */
  readonly globals: ReadonlyMap<string, PickleFunction | object>;
  /** What a persistent id stands for. May throw SyntaxError. */
  readonly persistent: (id: PickleValue) => PickleValue;
}

/** The opcodes that `torch.save` uses for tensors by name. */
const OP = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINUNICODE: 0x58,
  BUILD: 0x62,
  GLOBAL: 0x63,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
} as const;

const PROTOCOL = 2;
const MARK = Symbol("mark");
const NEWLINE = 0x0a;
/** A module and a name are each shorter than this. */
const MAX_LINE = 256;

/**
 * Reads a pickle of protocol 2 without executing anything: it can name the globals of `rules` and make tuples, dicts,
 * text and numbers. Takes memory in proportion to `bytes`. Throws SyntaxError that names whatever else is asked for.
 */
export function readPickle(bytes: Uint8Array<ArrayBuffer>, rules: PickleRules): PickleValue {
  return new Machine(bytes, rules).run();
}

class Machine {
  readonly #bytes: DataView<ArrayBuffer>;
  readonly #rules: PickleRules;
  readonly #stack: (PickleValue | typeof MARK)[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;

  constructor({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>, rules: PickleRules) {
    this.#bytes = new DataView(buffer, byteOffset, byteLength);
    this.#rules = rules;
  }

  run(): PickleValue {
    for (;;) {
      const at = this.#at, op = this.#byte();
      if (op === OP.STOP) {
        const value = this.#pop();
        check(this.#stack.length === 0, "the pickle leaves something over");
        return value;
      }
      if (!this.#simple(op) && !this.#composite(op)) {
        throw new SyntaxError(`opcode 0x${op.toString(16).padStart(2, "0")} at byte ${at} is not allowed`);
      }
    }
  }

  /** Carries out an opcode that takes nothing from the stack. */
  #simple(op: number): boolean {
    const stack = this.#stack;
    switch (op) {
      case OP.PROTO: {
        const protocol = this.#byte();
        check(protocol === PROTOCOL, `pickle protocol ${protocol}, wanted ${PROTOCOL}`);
        return true;
      }
      case OP.MARK:
        return stack.push(MARK) > 0;
      case OP.NONE:
        return stack.push(null) > 0;
      case OP.NEWTRUE:
        return stack.push(true) > 0;
      case OP.NEWFALSE:
        return stack.push(false) > 0;
      case OP.EMPTY_TUPLE:
        return stack.push([]) > 0;
      case OP.EMPTY_DICT:
        return stack.push(new Map()) > 0;
      case OP.BININT:
        return stack.push(this.#bytes.getInt32(this.#take(4), true)) > 0;
      case OP.BININT1:
        return stack.push(this.#byte()) > 0;
      case OP.BININT2:
        return stack.push(this.#bytes.getUint16(this.#take(2), true)) > 0;
      case OP.LONG1:
        return stack.push(this.#long(this.#byte())) > 0;
      case OP.BINUNICODE:
        return stack.push(this.#text(this.#word())) > 0;
      case OP.GLOBAL:
        return stack.push(this.#global()) > 0;
      case OP.BINGET:
        return stack.push(this.#recall(this.#byte())) > 0;
      case OP.LONG_BINGET:
        return stack.push(this.#recall(this.#word())) > 0;
      default:
        return false;
    }
  }

  /** Carries out an opcode that takes from the stack or looks at it. */
  #composite(op: number): boolean {
    const stack = this.#stack;
    switch (op) {
      case OP.BINPUT:
        return this.#remember(this.#byte());
      case OP.LONG_BINPUT:
        return this.#remember(this.#word());
      case OP.TUPLE:
        return stack.push(this.#toMark()) > 0;
      case OP.TUPLE1:
        return stack.push(this.#last(1)) > 0;
      case OP.TUPLE2:
        return stack.push(this.#last(2)) > 0;
      case OP.TUPLE3:
        return stack.push(this.#last(3)) > 0;
      case OP.SETITEM:
        return this.#setItems(this.#last(2));
      case OP.SETITEMS:
        return this.#setItems(this.#toMark());
      case OP.BINPERSID:
        return stack.push(this.#rules.persistent(this.#pop())) > 0;
      case OP.REDUCE:
        return this.#reduce();
      case OP.BUILD:
        return this.#build();
      default:
        return false;
    }
  }

  #reduce(): true {
    const [callee, args] = this.#last(2);
    check(typeof callee === "function" && Array.isArray(args), "it calls something that is no function");
    this.#stack.push((callee as PickleFunction)(args)); // only `rules.globals` has functions
    return true;
  }

  /** Attributes are what an OrderedDict of weights has beside them: versions of layers. They are left out. */
  #build(): true {
    const [object, state] = this.#last(2);
    check(object instanceof Map && state instanceof Map, "it sets attributes of something that is no dict");
    this.#stack.push(object);
    return true;
  }

  #setItems(items: readonly PickleValue[]): true {
    const dict = this.#stack.at(-1);
    check(dict instanceof Map && items.length % 2 === 0, "it puts items into something that is no dict");
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      check(typeof key === "string", "it has a dict with a key that is no text");
      check(!dict.has(key), `it has key ${quote(key)} twice`);
      dict.set(key, items[i + 1]!);
    }
    return true;
  }

  #global(): PickleValue {
    const name = `${this.#line()}.${this.#line()}`;
    const global = this.#rules.globals.get(name);
    check(global !== undefined, `it asks for ${quote(name)}, which is not allowed`);
    return global;
  }

  #remember(key: number): true {
    const top = this.#stack.at(-1);
    check(top !== undefined && top !== MARK, "it keeps a value where there is none");
    this.#memo.set(key, top);
    return true;
  }

  #recall(key: number): PickleValue {
    const value = this.#memo.get(key);
    check(value !== undefined, "it recalls a value that was not kept");
    return value;
  }

  #pop(): PickleValue {
    return this.#last(1)[0]!;
  }

  #last(count: number): PickleValue[] {
    const values = this.#stack.splice(Math.max(0, this.#stack.length - count));
    check(values.length === count && !values.includes(MARK), "it takes a value where there is none");
    return values as PickleValue[];
  }

  #toMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(MARK);
    check(at >= 0, "it takes values from a mark where there is none");
    const values = this.#stack.splice(at);
    return values.slice(1) as PickleValue[];
  }

  #long(size: number): number {
    check(size <= 8, `it has a number of ${size} bytes`);
    let value = 0n;
    const begin = this.#take(size);
    for (let i = size - 1; i >= 0; i--) value = value << 8n | BigInt(this.#bytes.getUint8(begin + i));
    const signed = Number(BigInt.asIntN(8 * size, value));
    check(Number.isSafeInteger(signed), "it has a number over 2^53");
    return signed;
  }

  #line(): string {
    const begin = this.#at;
    while (this.#byte() !== NEWLINE) check(this.#at - begin < MAX_LINE, "it names a global at length");
    return this.#decode(begin, this.#at - 1);
  }

  #text(length: number): string {
    const begin = this.#take(length);
    return this.#decode(begin, begin + length);
  }

  #decode(begin: number, end: number): string {
    const bytes = new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + begin, end - begin);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw new SyntaxError("it has text that is not UTF-8");
    }
  }

  #byte(): number {
    return this.#bytes.getUint8(this.#take(1));
  }

  #word(): number {
    return this.#bytes.getUint32(this.#take(4), true);
  }

  /** Steps over `count` bytes and returns where they begin. */
  #take(count: number): number {
    const begin = this.#at;
    check(begin + count <= this.#bytes.byteLength, "the pickle ends too early");
    this.#at += count;
    return begin;
  }
}

function check(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new SyntaxError(problem);
}
