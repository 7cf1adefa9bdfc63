// Nearest-neighbour resizing: index i of target_size reads source index floor(i · source / target_size).
// An integer division is costly on every kind of adapter: the quotient is taken in f32, which is at most one off for
// sizes up to 65,535, and corrected by its remainder.

fn nearest(i: u32, source: u32, target_size: u32) -> u32 {
  let product = i * source;
  let quotient = u32(f32(product) / f32(target_size));
  let over = select(0u, 1u, quotient * target_size > product);
  let under = select(0u, 1u, (quotient + 1u) * target_size <= product);
  return select(quotient + under - over, i, source == target_size);
}
