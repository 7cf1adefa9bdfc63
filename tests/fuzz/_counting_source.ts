import assert from "node:assert/strict";
import type { ByteSource } from "../../src/checkpoint/unchanged_file.ts";

/** Bytes in memory that count how many of them were asked for, and fail a request for more than there are. */
export class CountingSource implements ByteSource {
  readonly byteLength: number;
  /** Bytes handed out so far. */
  bytesRead = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.byteLength = bytes.length;
    this.#bytes = bytes;
  }

  async read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    assert.ok(begin <= end, `${begin} to ${end}`);
    const bytes = new Uint8Array(end - begin);
    await this.readInto(bytes, begin);
    return bytes;
  }

  readInto(bytes: Uint8Array<ArrayBuffer>, begin: number): Promise<void> {
    const end = begin + bytes.length;
    assert.ok(
      0 <= begin && end <= this.byteLength,
      `${begin} to ${end} of ${this.byteLength}`,
    );
    this.bytesRead += end - begin;
    bytes.set(this.#bytes.subarray(begin, end));
    return Promise.resolve();
  }

  [Symbol.dispose](): void {}
}
