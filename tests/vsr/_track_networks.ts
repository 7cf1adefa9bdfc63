const WEIGHTS = /^(text_encoder|flow|unet|dgafnet|controlnet|vae)\./;

/**
 * Notes which networks have weights on the GPU at the same time, "dgafnet unet", whenever that changes by a new buffer;
 * until disposed of.
 */
export function trackNetworks(): Disposable & { readonly together: readonly string[] } {
  const device = GPUDevice.prototype, buffer = GPUBuffer.prototype;
  const { createBuffer } = device, { destroy } = buffer;
  const live = new Map<GPUBuffer, string>(), together: string[] = [];
  device.createBuffer = function (descriptor) {
    const created = createBuffer.call(this, descriptor);
    const network = WEIGHTS.exec(descriptor.label ?? "")?.[1];
    if (network === undefined) return created;
    live.set(created, network);
    const names = [...new Set(live.values())].sort().join(" ");
    if (names !== together.at(-1)) together.push(names);
    return created;
  };
  buffer.destroy = function () {
    live.delete(this);
    return destroy.call(this);
  };
  return {
    together,
    [Symbol.dispose]() {
      device.createBuffer = createBuffer;
      buffer.destroy = destroy;
    },
  };
}
