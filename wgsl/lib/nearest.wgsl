// Nearest-neighbour resizing: index i of target_size reads source index floor(i · source / target_size).
// The product overflows only for sizes beyond 65,535 that are resized.

fn nearest(i: u32, source: u32, target_size: u32) -> u32 {
  return select(i * source / target_size, i, source == target_size);
}
