/** What is written to buffers and textures and how much of it was not waited for, until it is disposed of. */
export function meterQueue(): Disposable & {
  readonly buffers: ReadonlySet<ArrayBuffer>;
  readonly writtenBytes: number;
  readonly mostQueuedBytes: number;
} {
  const queue = GPUQueue.prototype;
  const { writeBuffer, writeTexture, onSubmittedWorkDone } = queue;
  let queuedBytes = 0;
  const meter = {
    buffers: new Set<ArrayBuffer>(),
    writtenBytes: 0,
    mostQueuedBytes: 0,
    [Symbol.dispose]() {
      Object.assign(queue, { writeBuffer, writeTexture, onSubmittedWorkDone });
    },
  };
  function note({ buffer, byteLength }: Uint8Array<ArrayBuffer>): void {
    meter.buffers.add(buffer);
    meter.writtenBytes += byteLength;
    queuedBytes += byteLength;
    meter.mostQueuedBytes = Math.max(meter.mostQueuedBytes, queuedBytes);
  }
  queue.writeBuffer = function (buffer, offset, data, ...range) {
    note(data as Uint8Array<ArrayBuffer>);
    return writeBuffer.call(this, buffer, offset, data, ...range);
  };
  queue.writeTexture = function (to, data, ...layout) {
    note(data as Uint8Array<ArrayBuffer>);
    return writeTexture.call(this, to, data, ...layout);
  };
  queue.onSubmittedWorkDone = async function () {
    await onSubmittedWorkDone.call(this);
    queuedBytes = 0;
    return undefined;
  };
  return meter;
}
