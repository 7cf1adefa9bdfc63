/** The GPU buffers made since, less those destroyed; for tests of what is freed. Stops when disposed of. */
export function trackBuffers(): Disposable & {
  readonly live: ReadonlySet<GPUBuffer>;
  readonly made: number;
} {
  const device = GPUDevice.prototype, buffer = GPUBuffer.prototype;
  const { createBuffer } = device, { destroy } = buffer;
  const live = new Set<GPUBuffer>();
  let made = 0;
  device.createBuffer = function (descriptor) {
    const created = createBuffer.call(this, descriptor);
    live.add(created);
    made++;
    return created;
  };
  buffer.destroy = function () {
    live.delete(this);
    return destroy.call(this);
  };
  return {
    live,
    get made() {
      return made;
    },
    [Symbol.dispose]() {
      device.createBuffer = createBuffer;
      buffer.destroy = destroy;
    },
  };
}
