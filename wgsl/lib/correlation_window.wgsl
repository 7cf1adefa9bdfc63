// Where RAFT looks in a level of its pyramid (correlation.wgsl and correlation_lookup.wgsl): the offsets -r to r from
// p, all with p's fraction.

struct Window {
  corner: vec2<i32>, // pixel of the first offset
  fraction: vec2<f32>,
}

// The window around `p`, in pixels of a level of `size`. Farther out than the limits all dot products are zero; they
// keep floor() within i32.
fn window_at(p: vec2<f32>, size: vec2<u32>, radius: u32) -> Window {
  let margin = f32(2u * radius + 2u);
  let at = clamp(p, vec2<f32>(-margin), vec2<f32>(size) + margin);
  return Window(vec2<i32>(floor(at)) - i32(radius), fract(at));
}
