import type { SchedulerConfig } from "../checkpoint/scheduler_config.ts";

/**
 * One sampling step as linear maps of the noisy sample z, the network's output o and unit Gaussian noise:
 *
 *     x0   = clamp(x0FromSample * z + x0FromOutput * o, -clip, clip)
 *     prev = prevFromX0 * x0 + prevFromSample * z + prevFromOutput * o + prevFromNoise * noise
 *
 * x0 is the estimate of the clean sample, `prev` the less noisy sample that the next step starts from.
 */
export interface StepCoefficients {
  readonly x0FromSample: number;
  readonly x0FromOutput: number;
  /** Infinity where the estimate is not clipped. */
  readonly clip: number;
  readonly prevFromX0: number;
  readonly prevFromSample: number;
  readonly prevFromOutput: number;
  /** 0 where the step uses no noise. */
  readonly prevFromNoise: number;
}

/** A linear map of the noisy sample and the network's output. */
interface Estimate {
  readonly fromSample: number;
  readonly fromOutput: number;
}

/** Smallest variance of a DDPM step, as diffusers has it. */
const LEAST_VARIANCE = 1e-20;

/**
 * DDPM (Ho et al. 2020) or DDIM (Song et al. 2020) sampling in double precision, as diffusers' schedulers of the
 * same names. (diffusers keeps the schedule in float32, up to 7.5e-7 relative away.)
 *
 * Throws a RangeError for a schedule that is not one.
 */
export class Scheduler {
  /** Standard deviation of the noise that sampling starts from. */
  readonly initNoiseSigma = 1;
  /** ᾱ by timestep: the share of the clean sample's variance that is left. */
  readonly alphasCumprod: Float64Array;
  readonly #config: SchedulerConfig;

  constructor(config: SchedulerConfig) {
    const { num_train_timesteps: trained, beta_start: first, beta_end: last } = config;
    if (!Number.isSafeInteger(trained) || trained < 1) {
      throw new RangeError(
        `Cannot build scheduler: num_train_timesteps is ${trained}, wanted a positive integer`,
      );
    }
    if (!(first > 0 && last >= first && last < 1)) {
      throw new RangeError(
        `Cannot build scheduler: beta_start is ${first} and beta_end ${last}, wanted 0 < start <= end < 1`,
      );
    }
    if (!Number.isSafeInteger(config.steps_offset) || config.steps_offset < 0) {
      throw new RangeError(
        `Cannot build scheduler: steps_offset is ${config.steps_offset}, wanted 0 or more`,
      );
    }
    this.#config = config;
    this.alphasCumprod = alphasCumprod(config);
  }

  /**
   * Training timesteps of a run of `steps` steps, descending.
   *
   * Throws a RangeError unless `steps` is an integer from 1 to `num_train_timesteps`, or where `steps_offset`
   * pushes a timestep past the schedule.
   */
  timesteps(steps: number): number[] {
    const trained = this.alphasCumprod.length;
    if (!Number.isInteger(steps) || steps < 1 || steps > trained) {
      throw new RangeError(
        `Cannot space timesteps: steps is ${steps}, wanted an integer from 1 to ${trained}`,
      );
    }
    const timesteps = spacedTimesteps(steps, this.#config);
    const highest = timesteps[0]!;
    if (!(highest < trained)) {
      throw new RangeError(
        `Cannot space timesteps: ${steps} steps with steps_offset ${this.#config.steps_offset} begin at ` +
          `timestep ${highest}, wanted less than ${trained}`,
      );
    }
    return timesteps;
  }

  /**
   * Coefficients of step `index` of a run over all of `timesteps`, as `timesteps()` gave them.
   *
   * `eta` from 0 (the default: deterministic) to 1 scales the noise of a DDIM step. DDPM has no such choice and
   * refuses it. Throws a RangeError for an index outside the list, a timestep outside the schedule or another `eta`.
   */
  step(timesteps: readonly number[], index: number, options: { eta?: number } = {}): StepCoefficients {
    const timestep = timesteps[index];
    if (timestep === undefined) {
      throw new RangeError(`Cannot take step ${index}: the list has ${timesteps.length} timesteps`);
    }
    const alpha = this.#alphaAt(timestep);
    const { eta = 0 } = options;
    if (this.#config.class_name === "DDPMScheduler") {
      if (eta !== 0) throw new RangeError(`Cannot take DDPM step: eta is ${eta}, wanted 0`);
      return this.#ddpmStep({ timestep, alpha, previous: timesteps[index + 1] });
    }
    if (!(eta >= 0 && eta <= 1)) {
      throw new RangeError(`Cannot take DDIM step: eta is ${eta}, wanted 0 to 1`);
    }
    const stride = Math.floor(this.alphasCumprod.length / timesteps.length);
    return this.#ddimStep({ alpha, previous: timestep - stride, eta });
  }

  /** The mean of q(z_prev | z, x0), equation 7 of Ho et al., and noise of its variance. */
  #ddpmStep(at: { timestep: number; alpha: number; previous: number | undefined }): StepCoefficients {
    const { timestep, alpha } = at;
    const alphaPrevious = at.previous === undefined ? 1 : this.#alphaAt(at.previous);
    const alphaStep = alpha / alphaPrevious;
    const shareOfNoise = (1 - alphaPrevious) / (1 - alpha);
    const variance = Math.max(shareOfNoise * (1 - alphaStep), LEAST_VARIANCE);
    return {
      ...this.#cleanEstimate(alpha),
      prevFromX0: Math.sqrt(alphaPrevious) * (1 - alphaStep) / (1 - alpha),
      prevFromSample: Math.sqrt(alphaStep) * shareOfNoise,
      prevFromOutput: 0,
      prevFromNoise: timestep > 0 ? Math.sqrt(variance) : 0,
    };
  }

  /** Equation 12 of Song et al. The noise estimate comes from the clean estimate before clipping. */
  #ddimStep({ alpha, previous, eta }: { alpha: number; previous: number; eta: number }): StepCoefficients {
    const alphaEnd = this.#config.set_alpha_to_one ? 1 : this.alphasCumprod[0]!;
    const alphaPrevious = previous >= 0 ? this.#alphaAt(previous) : alphaEnd;
    const sigma = eta * Math.sqrt((1 - alphaPrevious) / (1 - alpha) * (1 - alpha / alphaPrevious));
    const direction = Math.sqrt(1 - alphaPrevious - sigma ** 2);
    const noise = noiseEstimate(alpha, this.#config.prediction_type);
    return {
      ...this.#cleanEstimate(alpha),
      prevFromX0: Math.sqrt(alphaPrevious),
      prevFromSample: direction * noise.fromSample,
      prevFromOutput: direction * noise.fromOutput,
      prevFromNoise: sigma,
    };
  }

  #alphaAt(timestep: number): number {
    const alpha = this.alphasCumprod[timestep];
    if (alpha !== undefined) return alpha;
    const last = this.alphasCumprod.length - 1;
    throw new RangeError(`Cannot take step: timestep is ${timestep}, wanted an integer from 0 to ${last}`);
  }

  #cleanEstimate(alpha: number): Pick<StepCoefficients, "x0FromSample" | "x0FromOutput" | "clip"> {
    const { clip_sample, clip_sample_range, prediction_type } = this.#config;
    const { fromSample, fromOutput } = cleanEstimate(alpha, prediction_type);
    return {
      x0FromSample: fromSample,
      x0FromOutput: fromOutput,
      clip: clip_sample ? clip_sample_range : Infinity,
    };
  }
}

function alphasCumprod(config: SchedulerConfig): Float64Array {
  const { num_train_timesteps: trained, beta_start, beta_end, beta_schedule } = config;
  const scaled = beta_schedule === "scaled_linear";
  const from = scaled ? Math.sqrt(beta_start) : beta_start;
  const to = scaled ? Math.sqrt(beta_end) : beta_end;
  let product = 1;
  return Float64Array.from(linspace({ from, to, count: trained }), (value) => {
    product *= 1 - (scaled ? value ** 2 : value);
    return product;
  });
}

function spacedTimesteps(steps: number, config: SchedulerConfig): number[] {
  const { num_train_timesteps: trained, timestep_spacing, steps_offset } = config;
  switch (timestep_spacing) {
    case "leading": {
      const stride = Math.floor(trained / steps);
      return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * stride + steps_offset);
    }
    case "linspace":
      return linspace({ from: 0, to: trained - 1, count: steps }).map(roundHalfToEven).reverse();
    case "trailing": {
      // numpy's arange steps by the rounded difference of its first two values, and ties depend on that.
      const stride = trained - trained / steps - trained;
      return Array.from({ length: steps }, (_, i) => roundHalfToEven(trained + i * stride) - 1);
    }
  }
}

/** Evenly spaced values, both ends included, in numpy's order of operations: rounding at ties depends on it. */
function linspace({ from, to, count }: { from: number; to: number; count: number }): number[] {
  const stride = (to - from) / (count - 1);
  const values = [from];
  for (let i = 1; i < count; i++) values.push(i === count - 1 ? to : i * stride + from);
  return values;
}

/** Rounds as numpy does; `Math.round` would round ties up. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const fraction = value - below;
  if (fraction === 0.5) return below % 2 === 0 ? below : below + 1;
  return fraction < 0.5 ? below : below + 1;
}

/** The clean sample, given z = √ᾱ x0 + √(1-ᾱ) ε and, for `v_prediction`, v = √ᾱ ε - √(1-ᾱ) x0. */
function cleanEstimate(alpha: number, prediction: SchedulerConfig["prediction_type"]): Estimate {
  const signal = Math.sqrt(alpha);
  const noise = Math.sqrt(1 - alpha);
  switch (prediction) {
    case "epsilon":
      return { fromSample: 1 / signal, fromOutput: -noise / signal };
    case "v_prediction":
      return { fromSample: signal, fromOutput: -noise };
    case "sample":
      return { fromSample: 0, fromOutput: 1 };
  }
}

/** The noise ε, by the same definitions. */
function noiseEstimate(alpha: number, prediction: SchedulerConfig["prediction_type"]): Estimate {
  const signal = Math.sqrt(alpha);
  const noise = Math.sqrt(1 - alpha);
  switch (prediction) {
    case "epsilon":
      return { fromSample: 0, fromOutput: 1 };
    case "v_prediction":
      return { fromSample: noise, fromOutput: signal };
    case "sample":
      return { fromSample: 1 / noise, fromOutput: -signal / noise };
  }
}
