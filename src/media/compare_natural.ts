const DIGITS = /([0-9]+)/;

/**
 * Orders names as people number them, frame_2 before frame_10: runs of ASCII digits compare by value, everything
 * else by UTF-16 code unit. Depends on no locale; names that differ never compare equal. For `Array.sort`.
 */
export function compareNatural(a: string, b: string): number {
  const partsA = a.split(DIGITS);
  const partsB = b.split(DIGITS);
  for (let i = 0; i < Math.min(partsA.length, partsB.length); i++) {
    // Splitting on a capture group puts the digit runs at the odd places.
    const order = i % 2 === 1 ? compareDigits(partsA[i]!, partsB[i]!) : compareUnits(partsA[i]!, partsB[i]!);
    if (order !== 0) return order;
  }
  return partsA.length - partsB.length || compareUnits(a, b);
}

/** Compares without converting to a number, which would lose digits past 2^53. */
function compareDigits(a: string, b: string): number {
  const significantA = a.replace(/^0+/, "");
  const significantB = b.replace(/^0+/, "");
  return significantA.length - significantB.length || compareUnits(significantA, significantB);
}

function compareUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
