/**
 * Shape of a flow of N images of `height` × `width` pixels: two pixels of a row in four channels, (x, y) of each, zeros
 * beyond an odd width. As two channels of one pixel they would be padded to four.
 */
export function flowPairs(batch: number, height: number, width: number): [number, number, number, number] {
  return [batch, height, Math.ceil(width / 2), 4];
}
