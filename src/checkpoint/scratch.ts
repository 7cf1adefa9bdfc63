/** Memory that is used again and again, as large as its largest use. */
export class Scratch {
  #buffer = new ArrayBuffer(0);

  /** Memory for `length` values of `type`, which hold anything; what was taken before lies there too. */
  take<T>(type: ScratchType<T>, length: number): T {
    const byteLength = type.BYTES_PER_ELEMENT * length;
    if (this.#buffer.byteLength < byteLength) this.#buffer = new ArrayBuffer(byteLength);
    return new type(this.#buffer, 0, length);
  }
}

interface ScratchType<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): T;
}
