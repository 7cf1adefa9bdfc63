/** What is written to buffers and how much of it was not waited for, until it is disposed of. */
export function meterQueue(): Disposable & {
  readonly buffers: ReadonlySet<ArrayBuffer>;
  readonly writtenBytes: number;
  readonly mostQueuedBytes: number;
} {
  const queue = GPUQueue.prototype;
  const { writeBuffer, onSubmittedWorkDone } = queue;
  let queuedBytes = 0;
  const meter = {
    buffers: new Set<ArrayBuffer>(),
    writtenBytes: 0,
    mostQueuedBytes: 0,
    [Symbol.dispose]() {
      Object.assign(queue, { writeBuffer, onSubmittedWorkDone });
    },
  };
  queue.writeBuffer = function (buffer, offset, data, ...range) {
    const { buffer: memory, byteLength } = data as Uint8Array<ArrayBuffer>;
    meter.buffers.add(memory);
    meter.writtenBytes += byteLength;
    queuedBytes += byteLength;
    meter.mostQueuedBytes = Math.max(meter.mostQueuedBytes, queuedBytes);
    return writeBuffer.call(this, buffer, offset, data, ...range);
  };
  queue.onSubmittedWorkDone = async function () {
    await onSubmittedWorkDone.call(this);
    queuedBytes = 0;
    return undefined;
  };
  return meter;
}
