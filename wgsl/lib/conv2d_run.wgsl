// Runs: neighbouring output pixels of one row that one invocation computes (conv2d_direct.wgsl and
// conv2d_direct_subgroup.wgsl). They are placed side by side from column 0; the last of a row may reach beyond it.

// The first pixel of the run with this index within the band; a run has `length` pixels.
fn band_run(run: u32, length: u32) -> Pixel {
  let per_row = (params.out_width + length - 1u) / length;
  let row = run / per_row;
  return Pixel(
    row / params.rows + params.batch_begin,
    row % params.rows + params.row_begin,
    run % per_row * length,
    row < params.batch * params.rows,
  );
}

// Pixel p of the run that begins at `first`.
fn run_pixel(first: Pixel, p: u32) -> Pixel {
  return Pixel(first.n, first.oy, first.ox + p, first.valid && first.ox + p < params.out_width);
}
