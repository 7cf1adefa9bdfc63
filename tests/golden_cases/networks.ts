import { parseControlNetConfig } from "../../src/checkpoint/controlnet_config.ts";
import { parseDGAFNetConfig } from "../../src/checkpoint/dgafnet_config.ts";
import { parseUNetConfig } from "../../src/checkpoint/unet_config.ts";
import { parseVAEConfig } from "../../src/checkpoint/vae_config.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { ControlNet } from "../../src/models/controlnet.ts";
import { DGAFNet } from "../../src/models/dgafnet.ts";
import { type Guidance, UNet } from "../../src/models/unet.ts";
import type { TimeInputs } from "../../src/models/unet_trunk.ts";
import { VAEDecoder, VAEEncoder } from "../../src/models/vae.ts";
import type { Weights } from "../../src/nn/weights.ts";
import { withGenerated } from "../generated_weights.ts";
import { runRaftCase } from "../models/raft_case.ts";
import type { Golden, GoldenConfig } from "../golden_file.ts";
import {
  type CaseRunner,
  compute,
  type Computed,
  imageChannels,
  imageInput,
  inputOf,
  intermediates,
  plainInput,
} from "./run.ts";

/** Runners by the index's `network`. */
export const networkRunners: Record<string, CaseRunner> = {
  unet,
  dgafnet,
  controlnet,
  vae,
  raft: runRaftCase,
};

export function buildUNet(config: GoldenConfig): (w: Weights) => UNet {
  return (w) => new UNet(w, parseUNetConfig(config, "golden"));
}

export function buildDGAFNet(config: GoldenConfig): (w: Weights) => DGAFNet {
  return (w) => new DGAFNet(w, parseDGAFNetConfig(config, "golden"));
}

/** A latent has 4 channels in every case. */
export function buildControlNet(config: GoldenConfig): (w: Weights) => ControlNet {
  return (w) => new ControlNet(w, parseControlNetConfig(config, "golden"), 4);
}

async function unet(gpu: Gpu, golden: Golden): Promise<Computed> {
  const { config, dgafnet_config, controlnet_config, options } = golden.case;
  const from = { case: golden.case, prefix: "unet.", build: buildUNet(config!) };
  return await withGenerated(gpu, from, async (net) => {
    const [z, y] = latentAndFrame(gpu, golden, config!["out_channels"]);
    const context = plainInput(gpu, golden, "context");
    const taps = intermediates(golden, "unet");
    const conditioningScale = options!["conditioning_scale"] as number;
    if (controlnet_config) {
      const guiding = { case: golden.case, prefix: "controlnet.", build: buildControlNet(controlnet_config) };
      return await withGenerated(gpu, guiding, (controlnet) => {
        const image = imageInput(gpu, golden, "image");
        return compute(gpu, (rec) => {
          const guidance = controlnet.forward(rec, [z, y, image], {
            context,
            conditioningScale,
            ...timeInputs(gpu, golden, controlnet.time),
          });
          return {
            y: net.forward(rec, [z, y], { context, guidance, ...timeInputs(gpu, golden, net.time) }),
            ...residuals(gpu, golden, { guidance, prefix: "intermediate.controlnet." }),
          };
        }, taps);
      });
    }
    if (!dgafnet_config) {
      return await compute(
        gpu,
        (rec) => ({ y: net.forward(rec, [z, y], { context, ...timeInputs(gpu, golden, net.time) }) }),
        taps,
      );
    }
    const guiding = { case: golden.case, prefix: "dgafnet.", build: buildDGAFNet(dgafnet_config) };
    return await withGenerated(gpu, guiding, (dgafnet) => {
      const guide = imageInput(gpu, golden, "guide");
      return compute(gpu, (rec) => {
        const guidance = dgafnet.forward(rec, [z, y, guide], {
          conditioningScale,
          ...timeInputs(gpu, golden, dgafnet.time),
        });
        return { y: net.forward(rec, [z, y], { context, guidance, ...timeInputs(gpu, golden, net.time) }) };
      }, taps);
    });
  });
}

async function dgafnet(gpu: Gpu, golden: Golden): Promise<Computed> {
  const { config, options } = golden.case;
  const from = { case: golden.case, prefix: "dgafnet.", build: buildDGAFNet(config!) };
  return await withGenerated(gpu, from, (net) => {
    const [z, y] = latentAndFrame(gpu, golden, config!["conditioning_channels"]);
    const guide = imageInput(gpu, golden, "guide");
    const conditioningScale = options!["conditioning_scale"] as number;
    return compute(gpu, (rec) => {
      const guidance = net.forward(rec, [z, y, guide], {
        conditioningScale,
        ...timeInputs(gpu, golden, net.time),
      });
      return residuals(gpu, golden, { guidance, prefix: "" });
    }, intermediates(golden, "dgafnet"));
  });
}

async function controlnet(gpu: Gpu, golden: Golden): Promise<Computed> {
  const { config, options } = golden.case;
  const from = { case: golden.case, prefix: "controlnet.", build: buildControlNet(config!) };
  return await withGenerated(gpu, from, (net) => {
    const [z, y] = latentAndFrame(gpu, golden, 4);
    const image = imageInput(gpu, golden, "image");
    return compute(gpu, (rec) => {
      const guidance = net.forward(rec, [z, y, image], {
        context: plainInput(gpu, golden, "context"),
        conditioningScale: options!["conditioning_scale"],
        ...timeInputs(gpu, golden, net.time),
      });
      return {
        ...residuals(gpu, golden, { guidance, prefix: "" }),
        // The network adds the embedded image to it in the same dispatch.
        "intermediate.conv_in": net.conv_in.forward(rec, [z, y]),
      };
    }, intermediates(golden, "controlnet"));
  });
}

/** The residuals that a case lists as PREFIX + `down.K`, `up.K` or `mid`. */
function residuals(
  gpu: Gpu,
  golden: Golden,
  { guidance, prefix }: { readonly guidance: Guidance; readonly prefix: string },
): Record<string, Tensor> {
  const found: Record<string, Tensor> = {};
  for (const [name, { shape, channels }] of Object.entries(golden.case.tensors)) {
    const match = name.startsWith(prefix) && /^(?:(down|up)\.(\d+)|mid)$/.exec(name.slice(prefix.length));
    if (!match) continue;
    const [, side, k] = match, [n = 1, c = 1, h = 1, w = 1] = shape;
    const zero = gpu.tensor([n, h, w, channels?.[2] ?? c], "zero");
    const add = side === "down" ? guidance.down ?? guidance.skip : guidance.up;
    found[name] = side ? add!(Number(k), zero) : guidance.mid(zero);
  }
  return found;
}

async function vae(gpu: Gpu, golden: Golden): Promise<Computed> {
  const config = parseVAEConfig(golden.case.config!, "golden");
  const common = { case: golden.case, prefix: "vae." };
  if (golden.tensors.has("z")) {
    return await withGenerated(gpu, { ...common, build: (w) => new VAEDecoder(w, config) }, (decoder) => {
      const z = imageInput(gpu, golden, "z");
      return compute(gpu, (rec) => ({ y: decoder.forward(rec, z) }), intermediates(golden, "vae.decoder"));
    });
  }
  return await withGenerated(gpu, { ...common, build: (w) => new VAEEncoder(w, config) }, async (encoder) => {
    const x = imageInput(gpu, golden, "x");
    const taps = intermediates(golden, "vae.encoder");
    const computed = await compute(gpu, (rec) => ({ moments: encoder.forward(rec, x) }), taps);
    const moments = Array.from(computed.get("moments")!), half = moments.length / 2;
    computed.delete("moments");
    computed.set("mean", moments.slice(0, half));
    // The reference clamps here; nothing in the product uses the log-variance.
    computed.set("logvar", moments.slice(half).map((v) => Math.min(Math.max(v, -30), 20)));
    return computed;
  });
}

/** Input "x" (N, L + 3, h, w) as the latent and the frame. */
function latentAndFrame(gpu: Gpu, golden: Golden, latentChannels: number): [Tensor, Tensor] {
  const total = inputOf(golden, "x").shape[1]!;
  return [
    imageChannels(gpu, golden, { name: "x", from: 0, to: latentChannels }),
    imageChannels(gpu, golden, { name: "x", from: latentChannels, to: total }),
  ];
}

/** Sinusoid and class embedding of the case's timestep(s) and label. */
function timeInputs(
  gpu: Gpu,
  golden: Golden,
  time: TimeInputs,
): { sinusoid: Tensor; classEmbedding: Tensor | null } {
  const { timestep, class_label: label } = golden.case.options!;
  const values = ([] as number[]).concat(timestep).map((t) => time.sinusoid(t));
  const channels = values[0]!.length;
  const sinusoid = gpu.tensor(
    [values.length, 1, channels],
    "sinusoid",
    Float32Array.from(values.flatMap((v) => [...v])),
  );
  if (label === null || label === undefined) return { sinusoid, classEmbedding: null };
  const row = time.classEmbedding(label);
  return { sinusoid, classEmbedding: gpu.tensor([1, 1, row.length], "class", row) };
}
