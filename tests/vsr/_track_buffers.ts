/** The GPU buffers and textures made since, less those destroyed; for tests of what is freed. Stops when disposed of. */
export function trackBuffers(): Disposable & {
  readonly live: ReadonlySet<GPUBuffer | GPUTexture>;
  readonly made: number;
} {
  const device = GPUDevice.prototype, buffer = GPUBuffer.prototype, texture = GPUTexture.prototype;
  const { createBuffer, createTexture } = device;
  const destroyBuffer = buffer.destroy, destroyTexture = texture.destroy;
  const live = new Set<GPUBuffer | GPUTexture>();
  let made = 0;
  device.createBuffer = function (descriptor) {
    const created = createBuffer.call(this, descriptor);
    live.add(created);
    made++;
    return created;
  };
  device.createTexture = function (descriptor) {
    const created = createTexture.call(this, descriptor);
    live.add(created);
    made++;
    return created;
  };
  buffer.destroy = function () {
    live.delete(this);
    return destroyBuffer.call(this);
  };
  texture.destroy = function () {
    live.delete(this);
    return destroyTexture.call(this);
  };
  return {
    live,
    get made() {
      return made;
    },
    [Symbol.dispose]() {
      device.createBuffer = createBuffer;
      device.createTexture = createTexture;
      buffer.destroy = destroyBuffer;
      texture.destroy = destroyTexture;
    },
  };
}
