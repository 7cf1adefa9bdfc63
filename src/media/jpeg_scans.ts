/** Coefficients of a block. */
const COEFFICIENTS = 64;
/** Of the largest coefficients, the lowest bit that a first scan can leave out (T.81, table B.3). */
const MAX_SHIFT = 13;
/** More scans than any encoder writes; each costs a pass over all blocks, some 20 ms per million. */
const MAX_SCANS = 100;

/** Not sent yet, in `#shifts`. */
const ABSENT = -1;

/**
 * Follows which coefficients the scans of a JPEG file bring, to which bit.
 *
 * The decoder takes what is there and leaves the rest grey or blurred, so a file that was cut between two scans and
 * given an end looks whole to it. Source: ITU-T T.81, annexes B.2.3 and G.1.1.
 */
export class JpegScans {
  readonly #fail: (reason: string) => SyntaxError;
  /** By component: for each coefficient, the number of low bits that are still missing. */
  readonly #shifts: ReadonlyMap<number, Int8Array>;
  #count = 0;

  /** `components` are the identifiers in the frame header; `fail` makes the error that is thrown. */
  constructor(components: Uint8Array, fail: (reason: string) => SyntaxError) {
    this.#fail = fail;
    this.#shifts = new Map([...components].map((id) => [id, new Int8Array(COEFFICIENTS).fill(ABSENT)]));
    if (this.#shifts.size < components.length) {
      throw fail(`components are ${components.join(", ")}, wanted distinct`);
    }
  }

  /** Takes the header of the next scan, without its length. Throws if it brings what cannot come next. */
  add(segment: Uint8Array): void {
    if (++this.#count > MAX_SCANS) throw this.#fail(`number of scans is over ${MAX_SCANS}`);
    const components = segment[0] ?? 0;
    if (segment.length !== 4 + 2 * components || components === 0) {
      throw this.#fail(`scan header of ${components} components has ${segment.length} bytes`);
    }
    const [first, last, shifts] = segment.subarray(-3);
    const before = shifts! >> 4;
    const after = shifts! & 15;
    if (first! > last! || last! >= COEFFICIENTS || after > MAX_SHIFT) {
      throw this.#fail(`scan ${this.#count} has coefficients ${first} to ${last} less ${after} bits`);
    }
    for (let i = 0; i < components; i++) {
      const id = segment[1 + 2 * i]!;
      const known = this.#shifts.get(id);
      if (known === undefined) throw this.#fail(`scan ${this.#count} has component ${id}, the frame has not`);
      for (let k = first!; k <= last!; k++) {
        const follows = known[k] === ABSENT ? before === 0 : before === known[k] && after === before - 1;
        if (!follows) throw this.#fail(`scan ${this.#count} does not follow on the scans before it`);
        known[k] = after;
      }
    }
  }

  /** Throws if anything is missing. */
  finish(): void {
    if (this.#count === 0) throw this.#fail("file has no picture");
    for (const [id, known] of this.#shifts) {
      if (known.some((shift) => shift !== 0)) {
        throw this.#fail(`scans are missing: component ${id} is incomplete after ${this.#count} scans`);
      }
    }
  }
}
