import source from "../../wgsl/blend_tile.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands, spread } from "./bands.ts";
import { assertShape, imageShape } from "./shape.ts";

const WORKGROUP = 64;
/** Pixels from a tile that no tile is wide. */
const FAR = 2 ** 24;

/** Weighted addition of a tile to a picture. */
export const blendTileKernel: Kernel = defineKernel({
  name: "blend_tile",
  source,
  bindings: { x: "read", y: "read_write" },
  params: {
    row_begin: "u32",
    row_end: "u32",
    tile_width: "u32",
    row: "u32",
    column: "u32",
    width: "u32",
    fade: "f32",
    fade_in_row: "f32",
    fade_out_row: "f32",
    fade_in_column: "f32",
    fade_out_column: "f32",
    x_base: "u32",
    y_base: "u32",
  },
});

/** Where a tile lies along one axis, in pixels of the picture. */
export interface TileSpan {
  readonly begin: number;
  /** Where the next tile begins; null for the last one. */
  readonly next: number | null;
}

/** Options of `blendTile()`. */
export interface BlendTileOptions {
  /** The picture [1, H, W, C] that is added to, with memory of its own; zeros before the first tile. */
  readonly y: Tensor;
  readonly rows: TileSpan;
  readonly columns: TileSpan;
  /** Pixels from a tile's begin over which it fades in while the tile before fades out, linearly; 1 or more. */
  readonly fade: number;
  readonly label: string;
}

/**
 * Adds tile `x` [1, h, w, C], C up to 4, to `y`. The weights of all tiles of a picture sum to one, if each tile reaches
 * at least `fade` pixels into the next and no three of them overlap. Throws `RangeError` where the tile does not lie in
 * the picture.
 */
export function blendTile(rec: Recorder, x: Tensor, options: BlendTileOptions): void {
  const { y, rows, columns, fade, label } = options;
  const where = { kernel: "blend_tile", label };
  const [, tileHeight, tileWidth, channels] = imageShape(x, where);
  const [, height, width] = imageShape(y, where);
  assertShape(x, [1, tileHeight, tileWidth, Math.min(channels, 4)], where);
  assertShape(y, [1, height, width, channels], where);
  if (
    rows.begin < 0 || rows.begin + tileHeight > height || columns.begin < 0 ||
    columns.begin + tileWidth > width
  ) {
    throw new RangeError(
      `Cannot run blend_tile "${label}": [${x.shape}] at row ${rows.begin}, column ${columns.begin} is not within [${y.shape}]`,
    );
  }
  const bands = rowBands({
    batch: 1,
    height: tileHeight,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [
      { total: x.storage.byteLength, band: (rows) => 16 * tileWidth * rows },
      { total: y.storage.byteLength, band: (rows) => 16 * width * rows },
    ],
    label,
  });
  for (const { rowBegin, rows: count } of bands) {
    const end = rowBegin + count;
    const source = slice(x, rowBegin * tileWidth, end * tileWidth);
    const target = slice(y, (rows.begin + rowBegin) * width, (rows.begin + end) * width);
    rec.run(blendTileKernel, {
      label,
      bindings: { x: source, y: target },
      params: {
        row_begin: rowBegin,
        row_end: end,
        tile_width: tileWidth,
        row: rows.begin,
        column: columns.begin,
        width,
        fade,
        fade_in_row: rows.begin > 0 ? 0 : -FAR,
        fade_out_row: fadeOut(rows),
        fade_in_column: columns.begin > 0 ? 0 : -FAR,
        fade_out_column: fadeOut(columns),
        x_base: source.base,
        y_base: target.base,
      },
      workgroups: spread(Math.ceil(count * tileWidth / WORKGROUP)),
    });
  }
}

function fadeOut({ begin, next }: TileSpan): number {
  return next === null ? FAR : next - begin;
}
