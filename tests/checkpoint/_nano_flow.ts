import { openWeights } from "../../src/checkpoint/weight_source.ts";
import { torchBytes } from "./_torch_bytes.ts";

const NANO = new URL("../../weights/nano", import.meta.url).pathname;

/** The bundled model's optical flow, as tensors and as a file like those of `torch.save`. */
export async function nanoFlowAsTorchFile() {
  using weights = await openWeights(NANO, "flow");
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const name of weights.names()) {
    tensors.set(name, { shape: weights.shape(name)!, data: await weights.read(name) });
  }
  return { tensors, bytes: torchBytes(tensors) };
}
