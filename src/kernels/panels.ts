/** Columns of a panel. */
const PANEL = 32;

/**
 * Columns of the panels in which a matrix of so many columns is stored: panels lie one after another, each row-major.
 * A tile of a product reads few columns of every row; in a panel these rows are neighbours in memory, which keeps
 * caches and prefetchers at work where the matrix is larger than they are. Matrices that are no whole vec4s wide, or
 * not wider than a panel, are one panel: plain row-major.
 */
export function panelColumns(columns: number): number {
  return columns % 4 || columns <= PANEL ? columns : PANEL;
}

/** Row-major [..., rows, columns] → the same matrices in panels. `rows` is per matrix. */
export function packPanels(
  data: Float32Array,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): Float32Array {
  const packed = new Float32Array(data.length), size = rows * columns;
  for (let begin = 0; begin < data.length; begin += size) {
    for (let first = 0; first < columns; first += panelColumns(columns)) {
      const width = Math.min(panelColumns(columns), columns - first);
      for (let row = 0; row < rows; row++) {
        const from = begin + row * columns + first;
        packed.set(data.subarray(from, from + width), begin + first * rows + row * width);
      }
    }
  }
  return packed;
}
