/** Of the formats in use. */
const TEXEL_BYTES: Readonly<Partial<Record<GPUTextureFormat, number>>> = { rgba32float: 16, rg32uint: 8 };

/**
 * Counts the bytes of all GPU buffers and 2-D textures of this process, by replacing what creates and destroys them
 * until it is disposed of. What goes with its device or to the garbage collector counts as live.
 */
export class BufferMeter implements Disposable {
  #live = 0;
  #peak = 0;
  readonly #sizes = new Map<GPUBuffer | GPUTexture, number>();
  readonly #createBuffer = GPUDevice.prototype.createBuffer;
  readonly #createTexture = GPUDevice.prototype.createTexture;
  readonly #destroyBuffer = GPUBuffer.prototype.destroy;
  readonly #destroyTexture = GPUTexture.prototype.destroy;

  constructor() {
    const count = (made: GPUBuffer | GPUTexture, size: number) => this.#count(made, size);
    const createBuffer = this.#createBuffer, createTexture = this.#createTexture;
    const destroyBuffer = this.#destroyBuffer, destroyTexture = this.#destroyTexture;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      const buffer = createBuffer.call(this, descriptor);
      count(buffer, descriptor.size);
      return buffer;
    };
    GPUDevice.prototype.createTexture = function (descriptor) {
      const texture = createTexture.call(this, descriptor);
      count(texture, TEXEL_BYTES[texture.format]! * texture.width * texture.height);
      return texture;
    };
    GPUBuffer.prototype.destroy = function () {
      count(this, 0);
      return destroyBuffer.call(this);
    };
    GPUTexture.prototype.destroy = function () {
      count(this, 0);
      return destroyTexture.call(this);
    };
  }

  /** Sum of the sizes of all that is live, in bytes. */
  get bytes(): number {
    return this.#live;
  }

  /** Largest sum of the sizes of all that was live at a time, in bytes. */
  get peakBytes(): number {
    return this.#peak;
  }

  #count(made: GPUBuffer | GPUTexture, size: number): void {
    this.#live += size - (this.#sizes.get(made) ?? 0);
    if (size > 0) this.#sizes.set(made, size);
    else this.#sizes.delete(made);
    this.#peak = Math.max(this.#peak, this.#live);
  }

  [Symbol.dispose](): void {
    GPUDevice.prototype.createBuffer = this.#createBuffer;
    GPUDevice.prototype.createTexture = this.#createTexture;
    GPUBuffer.prototype.destroy = this.#destroyBuffer;
    GPUTexture.prototype.destroy = this.#destroyTexture;
  }
}
