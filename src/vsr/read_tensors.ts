import type { Gpu } from "../gpu/device.ts";
import { dropPadding, Tensor } from "../gpu/tensor.ts";
import { copyTensor } from "./frame_store.ts";

/** Bytes read back at once: large enough to wait rarely, small beside the tensors of a long clip. */
export const GROUP_BYTES: number = 64 * 2 ** 20;

/** The values of tensors, one after the other, row-major without padding. Many tensors are read with one wait. */
export async function* readTensors(gpu: Gpu, tensors: readonly Tensor[]): AsyncGenerator<Float32Array> {
  for (const group of groups(tensors)) {
    const byteLength = group.reduce((sum, { storage }) => sum + storage.byteLength, 0);
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = gpu.createBuffer(byteLength, usage, "tensors to save");
    try {
      let byteOffset = 0;
      const copies = group.map(({ shape, label, storage }) => {
        const copy = new Tensor(shape, label, { storage: { ...storage, buffer, byteOffset } });
        byteOffset += storage.byteLength;
        return copy;
      });
      gpu.submit((encoder) => group.forEach((tensor, i) => copyTensor(encoder, tensor, copies[i]!)));
      const bytes = await gpu.readBuffer(buffer, { byteLength });
      for (const { shape, storage } of copies) {
        yield dropPadding(new Float32Array(bytes, storage.byteOffset, storage.byteLength / 4), shape);
      }
    } finally {
      buffer.destroy();
    }
  }
}

function* groups(tensors: readonly Tensor[]): Generator<Tensor[]> {
  let group: Tensor[] = [], byteLength = 0;
  for (const tensor of tensors) {
    if (group.length > 0 && byteLength + tensor.storage.byteLength > GROUP_BYTES) {
      yield group;
      group = [];
      byteLength = 0;
    }
    group.push(tensor);
    byteLength += tensor.storage.byteLength;
  }
  if (group.length > 0) yield group;
}
