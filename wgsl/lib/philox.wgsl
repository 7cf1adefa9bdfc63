// Counter-based Gaussian noise: Philox 4x32-10 and Box-Muller, as tests/reference/philox.ts on the CPU.
//   philox4x32(counter, key)  four random words
//   gaussian4(counter, key)   four unit normals; counter = (index of the vec4, frame, stream, 0),
//                             key = (seed low, seed high)
// WGSL promises only 2^-11 for sin and cos, and 2^-21 for log near 1. So both are computed here, from the integers
// behind the uniform numbers: range reduction is exact, and the normals agree with the CPU's to 1e-6.

const PHILOX_ROUNDS = 10u;
const PHILOX_MULTIPLIER = vec2<u32>(0xd2511f53u, 0xcd9e8d57u);
const PHILOX_KEY_STEP = vec2<u32>(0x9e3779b9u, 0xbb67ae85u);

const LN_2 = 0.69314718;
// 2 pi / 2^24
const ANGLE_UNIT = 3.7450704e-7;
// sqrt(2) * 2^31
const SQRT_2_IN_31_BITS = 0xb504f334u;

// Upper words of the products of unsigned words, by 16-bit halves.
fn multiply_high(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let a_low = a & vec2(0xffffu);
  let a_high = a >> vec2(16u);
  let b_low = b & vec2(0xffffu);
  let b_high = b >> vec2(16u);
  let middle = a_high * b_low + ((a_low * b_low) >> vec2(16u));
  let carry = (a_low * b_high + (middle & vec2(0xffffu))) >> vec2(16u);
  return a_high * b_high + (middle >> vec2(16u)) + carry;
}

fn philox4x32(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var k = key;
  for (var i = 0u; i < PHILOX_ROUNDS; i++) {
    let high = multiply_high(PHILOX_MULTIPLIER, c.xz);
    let low = PHILOX_MULTIPLIER * c.xz;
    c = vec4(high.y ^ c.y ^ k.x, low.y, high.x ^ c.w ^ k.y, low.x);
    k += PHILOX_KEY_STEP;
  }
  return c;
}

// -2 ln((n + 1/2) / 2^24) for n < 2^24, to a few ulp even where the logarithm is near 0.
fn minus_two_log(n: u32) -> f32 {
  // m / 2^25 = f * 2^(exponent - 25) with f from sqrt(1/2) to sqrt(2); f - 1 and f + 1 are exact in integers.
  let m = 2u * n + 1u;
  var exponent = firstLeadingBit(m);
  if ((m << (31u - exponent)) >= SQRT_2_IN_31_BITS) {
    exponent++;
  }
  let one = 1u << exponent;
  // ln f = 2 artanh((f - 1) / (f + 1)), |s| <= 0.172
  let s = f32(i32(m) - i32(one)) / f32(m + one);
  let s2 = s * s;
  let log_f = 2.0 * s * (1.0 + s2 * (1.0 / 3.0 + s2 * (1.0 / 5.0 + s2 * (1.0 / 7.0 + s2 / 9.0))));
  return 2.0 * (f32(25u - exponent) * LN_2 - log_f);
}

// (cos, sin) of 2 pi n / 2^24 for n < 2^24.
fn cos_sin_turn(n: u32) -> vec2<f32> {
  // Nearest quarter turn, and the rest within an eighth: Taylor series to x^8 and x^9 end below 3e-8.
  let quarter = (n + 0x200000u) >> 22u;
  let x = f32(i32(n) - i32(quarter << 22u)) * ANGLE_UNIT;
  let x2 = x * x;
  let c = 1.0 - x2 * (1.0 / 2.0 - x2 * (1.0 / 24.0 - x2 * (1.0 / 720.0 - x2 / 40320.0)));
  let s = x * (1.0 - x2 * (1.0 / 6.0 - x2 * (1.0 / 120.0 - x2 * (1.0 / 5040.0 - x2 / 362880.0))));
  let turned = select(vec2(c, s), vec2(-s, c), (quarter & 1u) == 1u);
  return select(turned, -turned, (quarter & 2u) == 2u);
}

fn gaussian4(counter: vec4<u32>, key: vec2<u32>) -> vec4<f32> {
  let n = philox4x32(counter, key) >> vec4(8u);
  return vec4(
    sqrt(minus_two_log(n.x)) * cos_sin_turn(n.y),
    sqrt(minus_two_log(n.z)) * cos_sin_turn(n.w),
  );
}
