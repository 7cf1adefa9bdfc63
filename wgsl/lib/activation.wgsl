// Activation functions by number: 0 none, 1 ReLU, 2 SiLU, 3 sigmoid, 4 tanh, 5 GELU (exact), 6 quick GELU.
// Callers pass a constant, so that only one branch is compiled.

fn sigmoid4(v: vec4<f32>) -> vec4<f32> {
  return 1.0 / (1.0 + exp(-v));
}

// tanh by exp of a negative argument, which cannot overflow; near 0, where that cancels, by its series.
fn tanh4(v: vec4<f32>) -> vec4<f32> {
  let e = exp(-2.0 * abs(v));
  let s = v * v;
  let series = v * (1.0 - s * (0.33333333 - s * (0.13333333 - s * (0.053968254 - s * 0.021869489))));
  return select(sign(v) * (1.0 - e) / (1.0 + e), series, abs(v) < vec4<f32>(0.25));
}

// erf: v · P(v²) up to 1, then 1 - exp(-v²) · t · Q(t) with t = 1 / (1 + v/2). P and Q are least-squares fits at
// Chebyshev nodes of exact values; both are within 6e-9 of erf, below f32's own rounding.
fn erf4(v: vec4<f32>) -> vec4<f32> {
  let s = v * v;
  var p = vec4<f32>(7.88249712e-5);
  p = p * s - 8.01885499e-4;
  p = p * s + 5.18931194e-3;
  p = p * s - 2.68543288e-2;
  p = p * s + 1.12835975e-1;
  p = p * s - 3.76126269e-1;
  p = p * s + 1.12837917;
  let t = 1.0 / (1.0 + 0.5 * abs(v));
  var q = vec4<f32>(0.06957028);
  q = q * t - 0.31115976;
  q = q * t + 0.34615532;
  q = q * t + 0.05743753;
  q = q * t + 0.27726822;
  q = q * t + 0.27792957;
  q = q * t + 0.28233185;
  return select(sign(v) * (1.0 - exp(-s) * t * q), v * p, abs(v) < vec4<f32>(1.0));
}

fn gelu4(v: vec4<f32>) -> vec4<f32> {
  return 0.5 * v * (1.0 + erf4(v * 0.7071067811865476));
}

fn activate(v: vec4<f32>, activation: u32) -> vec4<f32> {
  switch (activation) {
    case 1u: { return max(v, vec4<f32>()); }
    case 2u: { return v * sigmoid4(v); }
    case 3u: { return sigmoid4(v); }
    case 4u: { return tanh4(v); }
    case 5u: { return gelu4(v); }
    case 6u: { return v * sigmoid4(1.702 * v); }
    default: { return v; }
  }
}
