import type { Kernel } from "../gpu/kernel.ts";
import type { Bound, Dispatch } from "../gpu/dispatch.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";

/**
 * A recorder that adds up the work of one replay. What is recorded in `once()` is not part of it.
 *
 * The one formula for operations: two per multiply-add of the convolutions, matrix products, attentions and
 * correlations as they are defined, unpadded and over all keys. A convolution by Winograd counts as the direct one that
 * it stands for, though it does less. Norms, activations, transforms and everything else count nothing.
 */
export class CountingRecorder extends Recorder {
  #flops = 0;
  #bytes = 0;
  #inOnce = false;
  /** Input channels of the Winograd convolution that is being recorded: its matrix product is not one by itself. */
  #winogradChannels = 0;
  #hasWinograd = false;

  /** Floating-point operations. */
  get flops(): number {
    return this.#flops;
  }

  /** Bytes bound by all dispatches: what they must read and write if each byte is touched once. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether `flops` holds convolutions by Winograd, counted as direct ones. */
  get hasWinograd(): boolean {
    return this.#hasWinograd;
  }

  override once<T>(body: () => T, done?: () => void): T {
    const outer = this.#inOnce;
    this.#inOnce = true;
    try {
      return super.once(body, done);
    } finally {
      this.#inOnce = outer;
    }
  }

  override run(kernel: Kernel, dispatch: Dispatch): void {
    super.run(kernel, dispatch);
    if (this.#inOnce) return;
    for (const bound of Object.values(dispatch.bindings)) this.#bytes += bytesOf(bound);
    this.#flops += 2 * this.#multiplyAdds(kernel.name, dispatch);
  }

  #multiplyAdds(kernel: string, { bindings, params, constants = {}, workgroups }: Dispatch): number {
    const channels = (name: string) => channelsOf(bindings[name], `binding "${name}" of ${kernel}`);
    const p = (name: string) => numberOf(params[name], `param "${name}" of ${kernel}`);
    switch (kernel) {
      case "conv2d":
      case "conv2d_subgroup":
      case "conv2d_direct":
      case "conv2d_direct_subgroup":
        return p("batch") * p("rows") * p("out_width") * p("out_channels") *
          p("kernel_height") * p("kernel_width") * channels("x");
      case "winograd_input":
        this.#winogradChannels = channels("x") + channels("x2");
        return 0;
      case "winograd_output": {
        const batch = p("tiles") / (p("rows") * p("columns"));
        const rows = Math.min(4 * p("rows"), p("height") - 4 * p("row_begin"));
        const inChannels = this.#winogradChannels;
        this.#winogradChannels = 0;
        this.#hasWinograd = true;
        return batch * rows * p("width") * p("channels") * 9 * inChannels;
      }
      case "gemm":
      case "gemm_subgroup":
        if (this.#winogradChannels > 0) return 0;
        return workgroups[2] * p("rows") * 4 * p("inner4") * channels("weight");
      case "attention":
      case "attention_subgroup":
        return 2 * workgroups[2] * p("rows") * p("keys") * channels("q");
      case "correlation": {
        const radius = numberOf(constants["RADIUS"], `constant "RADIUS" of ${kernel}`);
        return p("pixels") * (2 * radius + 2) ** 2 * channels("f1");
      }
      default:
        return 0;
    }
  }
}

/** A kernel that was changed must not be counted by what it was. */
function numberOf(value: number | string | undefined, what: string): number {
  if (typeof value === "number") return value;
  throw new TypeError(`Cannot count operations: ${what} is ${value}, a number is wanted`);
}

function channelsOf(bound: Bound | undefined, what: string): number {
  if (bound === undefined) throw new TypeError(`Cannot count operations: there is no ${what}`);
  if (bound === null) return 0;
  return (bound instanceof Tensor ? bound : bound.tensor).size(-1);
}

function bytesOf(bound: Bound): number {
  if (!bound) return 0;
  return bound instanceof Tensor ? bound.storage.byteLength : bound.byteLength;
}
