// Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): random numbers as a pure
// function of a counter and a key, so that any part of any job draws the same ones. The plain way to what
// wgsl/lib/philox.wgsl does on the GPU.

const ROUNDS = 10;
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
/** Added to the key after each round: the golden ratio and √3 - 1, in 32 bits. */
const KEY_STEP_0 = 0x9e3779b9;
const KEY_STEP_1 = 0xbb67ae85;

/** Which noise to draw. */
export interface NoiseRequest {
  /** Non-negative safe integer. */
  readonly seed: number;
  /** Index of the frame in the clip, 32 bits. */
  readonly frame: number;
  /** 0 for the latents that sampling starts from, `step + 1` for the noise of a step, the last for a frame's; 32 bits. */
  readonly stream: number;
  /** Number of values wanted. */
  readonly count: number;
}

/** Four random 32-bit words of a counter of four words and a key of two, all unsigned. */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + KEY_STEP_0) >>> 0;
    k1 = (k1 + KEY_STEP_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/**
 * Unit Gaussian noise, a pure function of seed, frame, stream and position: fewer values are the beginning of more.
 *
 * Values 4i to 4i+3 come from counter (i, frame, stream, 0) by two Box-Muller transforms; in a [H, W, 4] latent that
 * is pixel i. Computed in double precision, rounded to float32; the largest possible magnitude is 5.9. Throws a
 * RangeError for a seed that is no non-negative safe integer, and for a frame, stream or count outside its range.
 */
export function gaussianNoise({ seed, frame, stream, count }: NoiseRequest): Float32Array<ArrayBuffer> {
  assertInteger("seed", seed, Number.MAX_SAFE_INTEGER);
  assertInteger("frame", frame, 2 ** 32 - 1);
  assertInteger("stream", stream, 2 ** 32 - 1);
  assertInteger("count", count, 2 ** 32);
  const key = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)] as const;
  const noise = new Float32Array(count);
  for (let i = 0; i < count; i += 4) {
    const [x0, x1, x2, x3] = philox4x32([i / 4, frame, stream, 0], key);
    // A value past the end of a typed array goes nowhere: the last counter may give more than is wanted.
    [noise[i], noise[i + 1]] = boxMuller(x0, x1);
    [noise[i + 2], noise[i + 3]] = boxMuller(x2, x3);
  }
  return noise;
}

/** Two independent unit normals of two random words, of which the upper 24 bits count. */
function boxMuller(x: number, y: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(((x >>> 8) + 0.5) * 2 ** -24));
  const angle = 2 * Math.PI * (y >>> 8) * 2 ** -24;
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/** Upper 32 bits of the product of two unsigned words. A double cannot hold all 64, so it goes by 16-bit halves. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + Math.floor(aLow * bLow / 2 ** 16);
  const carry = Math.floor((aLow * bHigh + middle) / 2 ** 16);
  return aHigh * bHigh + carry;
}

function assertInteger(name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`Cannot draw noise: ${name} is ${value}, wanted an integer from 0 to ${max}`);
  }
}
