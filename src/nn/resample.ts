import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Conv2d } from "./conv2d.ts";
import type { Weights } from "./weights.ts";

/** diffusers' Downsample2D: 3×3 convolution with stride 2. */
export class Downsample {
  readonly conv: Conv2d;

  /**
   * `padding` 1 pads all sides, as the UNet does; 0 stands for one zero row and column at the bottom and right, as
   * the VAE's encoder does.
   */
  constructor(w: Weights, channels: number, padding: 0 | 1) {
    const sides = padding === 1 ? 1 : { top: 0, left: 0, bottom: 1, right: 1 };
    this.conv = new Conv2d(w.at("conv"), {
      in: channels,
      out: channels,
      kernel: 3,
      stride: 2,
      padding: sides,
    });
  }

  /** x [N, H, W, C] → [N, ⌈H/2⌉, ⌈W/2⌉, C], or rounded down with padding 0. */
  forward(rec: Recorder, x: Tensor): Tensor {
    return this.conv.forward(rec, x);
  }
}

/** diffusers' Upsample2D: nearest-neighbour resize, then a 3×3 convolution. */
export class Upsample {
  readonly conv: Conv2d;

  constructor(w: Weights, channels: number) {
    this.conv = new Conv2d(w.at("conv"), { in: channels, out: channels, kernel: 3, padding: 1 });
  }

  /** x [N, H, W, C] → [N, height, width, C]; doubles where no size is given. */
  forward(rec: Recorder, x: Tensor, size?: readonly [number, number]): Tensor {
    return this.conv.forward(rec, x, { resize: size ?? [2 * x.size(1), 2 * x.size(2)] });
  }
}
