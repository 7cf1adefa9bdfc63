import source from "../../wgsl/flow_warp.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { spread } from "./bands.ts";
import { flowPairs } from "./flow_pairs.ts";
import { assertShape, imageShape } from "./shape.ts";

const WORKGROUP = 64;

/** Warp on the grid of the image or of its nearest-neighbour enlargement. */
export const flowWarpKernel: Kernel = defineKernel({
  name: "flow_warp",
  source,
  bindings: { x: "read", flow: "read", y: "write" },
  params: {
    begin: "u32",
    end: "u32",
    height: "u32",
    width: "u32",
    channels4: "u32",
    factor: "u32",
    x_base: "u32",
    flow_base: "u32",
    y_base: "u32",
  },
  variants: [{ NEAREST: 0 }, { NEAREST: 1 }],
});

/** How a warp reads between pixels. */
export type WarpMode = "bilinear" | "nearest";

/** Options of `flowWarp()`. */
export interface FlowWarpOptions {
  /** Default "bilinear". */
  readonly mode?: WarpMode;
  readonly label: string;
}

/** Options of `ogwm()`. */
export interface OgwmOptions extends FlowWarpOptions {
  /** How much finer than the latent the flow's pixels are; the paper's choice is 4. */
  readonly factor: 1 | 2 | 4 | 8;
}

/**
 * Warps `x` [N, H, W, C] backwards by `flow`, `flowPairs(N, H, W)`, which says for each output pixel how far to the
 * right and down to look, in pixels.
 *
 * With the half-pixel behaviour of the paper's code, which trained checkpoints expect: an absolute position p is
 * sampled at p · W / (W - 1) - 0.5 (the same for y with H), zero outside. Returns the shape of `x`. One image must fit
 * into a binding. Throws `RangeError` where shapes do not fit.
 */
export function flowWarp(rec: Recorder, x: Tensor, flow: Tensor, options: FlowWarpOptions): Tensor {
  return warp(rec, x, { ...options, flow, factor: 1, kernel: "flow_warp" });
}

/**
 * Optical guided warping module: nearest × `factor` of `x0` [N, h, w, C], the warp of `flowWarp()` at that size,
 * nearest ÷ `factor`, exactly and without the large images.
 *
 * `flow`, `flowPairs(N, h, w)`, is that of the large image at its pixels (factor · i, factor · j), in pixels of the
 * large image: no other pixel matters. Returns the shape of `x0`. Throws `RangeError` where shapes do not fit.
 */
export function ogwm(rec: Recorder, x0: Tensor, flow: Tensor, options: OgwmOptions): Tensor {
  return warp(rec, x0, { ...options, flow, kernel: "ogwm" });
}

function warp(
  rec: Recorder,
  x: Tensor,
  options: OgwmOptions & { readonly flow: Tensor; readonly kernel: string },
): Tensor {
  const { flow, factor, mode = "bilinear", label } = options;
  const [batch, height, width] = imageShape(x, options);
  assertShape(flow, flowPairs(batch, height, width), options);
  const y = rec.tensor(x.shape, label);
  const pixels = height * width, pairs = height * flow.size(2);
  // A tap may be anywhere in its image, so images are bound whole; the flow is never larger.
  const step = x.storage.byteLength <= rec.gpu.facts.maxBindingBytes ? batch : 1;
  for (let n = 0; n < batch; n += step) {
    const begin = n * pixels * x.channels4, end = (n + step) * pixels * x.channels4;
    const source = slice(x, begin, end), target = slice(y, begin, end);
    const motion = slice(flow, n * pairs, (n + step) * pairs);
    rec.run(flowWarpKernel, {
      label,
      constants: { NEAREST: mode === "nearest" ? 1 : 0 },
      bindings: { x: source, flow: motion, y: target },
      params: {
        begin,
        end,
        height,
        width,
        channels4: x.channels4,
        factor,
        x_base: source.base,
        flow_base: motion.base,
        y_base: target.base,
      },
      workgroups: spread(Math.ceil((end - begin) / WORKGROUP)),
    });
  }
  return y;
}
