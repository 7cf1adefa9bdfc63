// Matrices stored in panels of `panel4` vec4s of columns, one panel after another, each row-major (kernels/panels.ts).

// Where a column of vec4s begins, and the distance from row to row, in vec4s.
struct Column {
  at: u32,
  stride: u32,
}

fn panel_column(column4: u32, rows: u32, columns4: u32, panel4: u32) -> Column {
  let first = column4 / panel4 * panel4;
  return Column(first * rows + column4 - first, min(panel4, columns4 - first));
}
