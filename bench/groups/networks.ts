import type { DGAFNetConfig } from "../../src/checkpoint/dgafnet_config.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import type { UNetConfig } from "../../src/checkpoint/unet_config.ts";
import type { VAEConfig } from "../../src/checkpoint/vae_config.ts";
import { profile, timesByKernel } from "../../src/gpu/profile.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { DGAFNet } from "../../src/models/dgafnet.ts";
import { UNet } from "../../src/models/unet.ts";
import type { TimeInputs } from "../../src/models/unet_trunk.ts";
import { VAEDecoder } from "../../src/models/vae.ts";
import { generatedWeights } from "../../tests/generated_weights.ts";
import { BufferMeter } from "../buffer_meter.ts";
import { Inputs } from "../cases/kernel_case.ts";
import { CountingRecorder } from "../../src/kernels/counting_recorder.ts";
import { fullSize } from "../full_size.ts";
import { type Context, rateOf, type Row } from "../group.ts";
import { summarise } from "../statistics.ts";
import { timeDemo } from "../time_demo.ts";
import { timePlan } from "../time_plan.ts";

export const name = "networks";
export const description =
  "Whole networks with generated weights, their kernels, and the bundled model on the demo";

/** Kernels that take less than this part of a network's time are put together. */
const LEAST_SHARE = 0.01;
const TIMESTEP = 601;
const PROMPT_TOKENS = 77;

/** A network of which a forward pass is measured. */
interface NetworkRun {
  readonly name: string;
  record(rec: Recorder): Tensor;
}

/** Full-size networks at a 64×64 latent; with `quick` those of the bundled model at 16×16. */
export async function run(context: Context): Promise<Row[]> {
  const { configs } = await openModelFolder("weights/nano");
  const { unet, dgafnet, vae } = context.quick ? { ...configs, dgafnet: configs.dgafnet! } : fullSize;
  const size = context.quick ? 16 : 64;
  return [
    ...await frameStep(context, { unet, dgafnet, size }),
    ...await decode(context, { vae, size }),
    ...await timeDemo(context),
  ];
}

/** UNet with the residuals of DGAFNet: what a frame takes at each step, but for its warp and the scheduler. */
async function frameStep(
  context: Context,
  { unet, dgafnet, size }: {
    readonly unet: UNetConfig;
    readonly dgafnet: DGAFNetConfig;
    readonly size: number;
  },
): Promise<Row[]> {
  const { gpu } = context;
  context.progress("generating weights of UNet and DGAFNet");
  using owned = new DisposableStack();
  using meter = new BufferMeter();
  const unetWeights = owned.adopt(generatedWeights(gpu, { prefix: "unet." }), (w) => w.free());
  const dgafnetWeights = owned.adopt(generatedWeights(gpu, { prefix: "dgafnet." }), (w) => w.free());
  const unetNetwork = new UNet(unetWeights, unet), dgafnetNetwork = new DGAFNet(dgafnetWeights, dgafnet);
  for (const weights of [unetWeights, dgafnetWeights]) await weights.load();

  const inputs = owned.use(new Inputs(gpu));
  const map = (name: string, channels: number) => inputs.signal(name, [1, size, size, channels]).tensor;
  const latents = unet.out_channels, frameChannels = unet.in_channels - latents;
  const z = map("z", latents), y = map("frame", frameChannels), guide = map("guide", latents);
  const prompt = inputs.signal("prompt", [1, PROMPT_TOKENS, unet.cross_attention_dim]).tensor;
  const sinusoid = (time: TimeInputs) => {
    const data = time.sinusoid(TIMESTEP);
    return inputs.tensor("sinusoid", [1, 1, data.length], data);
  };
  const times = { unet: sinusoid(unetNetwork.time), dgafnet: sinusoid(dgafnetNetwork.time) };
  return await measureNetwork(context, meter, {
    name: `UNet and DGAFNet ${unet.block_out_channels.join("/")}, ${size}×${size} latent`,
    record(rec) {
      const guidance = dgafnetNetwork.forward(rec, [z, y, guide], {
        sinusoid: times.dgafnet,
        conditioningScale: 1,
      });
      return unetNetwork.forward(rec, [z, y], { sinusoid: times.unet, context: prompt, guidance });
    },
  });
}

async function decode(
  context: Context,
  { vae, size }: { readonly vae: VAEConfig; readonly size: number },
): Promise<Row[]> {
  const { gpu } = context;
  context.progress("generating weights of the VAE");
  using owned = new DisposableStack();
  using meter = new BufferMeter();
  const weights = owned.adopt(generatedWeights(gpu, { prefix: "vae." }), (w) => w.free());
  const decoder = new VAEDecoder(weights, vae);
  await weights.load();
  const inputs = owned.use(new Inputs(gpu));
  const z = inputs.signal("z", [1, size, size, vae.latent_channels]).tensor;
  const large = size * 2 ** (vae.block_out_channels.length - 1);
  return await measureNetwork(context, meter, {
    name: `VAE decode ${vae.block_out_channels.join("/")}, ${size}×${size} to ${large}×${large}`,
    record: (rec) => decoder.forward(rec, z),
  });
}

/** Runs, checks, times and profiles a network. */
async function measureNetwork(
  { gpu, quick, ceilings, progress }: Context,
  meter: BufferMeter,
  network: NetworkRun,
): Promise<Row[]> {
  progress(network.name);
  const rec = new CountingRecorder(gpu);
  const y = network.record(rec);
  using plan = await rec.finish([y]);
  plan.poison(gpu);
  gpu.submit((encoder) => plan.encode(encoder));
  const values = await gpu.read(y);
  if (!values.every(Number.isFinite) || !values.some((value) => Math.abs(value) > 1e-3)) {
    throw new Error(`Cannot time "${network.name}": its output is not finite or all zero`);
  }

  const timing = await timePlan(gpu, plan, { quick });
  const total: Row = {
    name: network.name,
    variant: `${plan.nodes.length} dispatches`,
    timing,
    rate: rateOf(rec, timing, ceilings),
    figures: { GFLOP: rec.flops / 1e9, "GPU MiB": meter.peakBytes / 2 ** 20 },
    note: "convolutions by Winograd rated as the direct ones that they stand for",
  };
  progress("its kernels one by one");
  const times = timesByKernel(await profile(gpu, plan));
  const sum = times.reduce((total, { durationMs }) => total + durationMs, 0);
  const large = times.filter(({ durationMs }) => durationMs >= LEAST_SHARE * sum);
  const small = times.slice(large.length);
  const rest = {
    kernel: "other kernels",
    count: small.reduce((total, { count }) => total + count, 0),
    durationMs: small.reduce((total, { durationMs }) => total + durationMs, 0),
  };
  const parts = [...large, ...rest.count > 0 ? [rest] : []];
  return [
    total,
    ...parts.map(({ kernel, count, durationMs }): Row => ({
      name: `  ${kernel}`,
      timing: summarise([durationMs]),
      figures: { dispatches: count, "% of the time": 100 * durationMs / sum },
    })),
  ];
}
