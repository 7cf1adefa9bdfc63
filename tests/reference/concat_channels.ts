/** Concatenates rows: part k has `channels[k]` values per position. */
export function concatChannels(
  parts: readonly ArrayLike<number>[],
  channels: readonly number[],
): Float64Array {
  const positions = parts[0]!.length / channels[0]!;
  const y: number[] = [];
  for (let p = 0; p < positions; p++) {
    parts.forEach((part, k) => {
      for (let c = 0; c < channels[k]!; c++) y.push(part[p * channels[k]! + c]!);
    });
  }
  return Float64Array.from(y);
}
