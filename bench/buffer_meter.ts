/**
 * Counts the bytes of all GPU buffers of this process, by replacing `createBuffer()` and `destroy()` until it is
 * disposed of. Buffers that go with their device or to the garbage collector count as live.
 */
export class BufferMeter implements Disposable {
  #live = 0;
  #peak = 0;
  readonly #sizes = new Map<GPUBuffer, number>();
  readonly #createBuffer = GPUDevice.prototype.createBuffer;
  readonly #destroy = GPUBuffer.prototype.destroy;

  constructor() {
    const count = (buffer: GPUBuffer, size: number) => this.#count(buffer, size);
    const createBuffer = this.#createBuffer, destroy = this.#destroy;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      const buffer = createBuffer.call(this, descriptor);
      count(buffer, descriptor.size);
      return buffer;
    };
    GPUBuffer.prototype.destroy = function () {
      count(this, 0);
      return destroy.call(this);
    };
  }

  /** Sum of the sizes of all live buffers, in bytes. */
  get bytes(): number {
    return this.#live;
  }

  /** Largest sum of the sizes of all live buffers, in bytes. */
  get peakBytes(): number {
    return this.#peak;
  }

  #count(buffer: GPUBuffer, size: number): void {
    this.#live += size - (this.#sizes.get(buffer) ?? 0);
    if (size > 0) this.#sizes.set(buffer, size);
    else this.#sizes.delete(buffer);
    this.#peak = Math.max(this.#peak, this.#live);
  }

  [Symbol.dispose](): void {
    GPUDevice.prototype.createBuffer = this.#createBuffer;
    GPUBuffer.prototype.destroy = this.#destroy;
  }
}
