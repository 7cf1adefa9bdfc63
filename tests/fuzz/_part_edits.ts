import fc from "fast-check";

/** A change to which parts a file has, and in which order. Positions are taken modulo what there is. */
export interface PartEdit {
  readonly kind: "drop" | "repeat" | "swap";
  readonly at: number;
  readonly other: number;
}

export const partEdit: fc.Arbitrary<PartEdit> = fc.record({
  kind: fc.constantFrom("drop", "repeat", "swap"),
  at: fc.nat(),
  other: fc.nat(),
});

/** `parts`, at least one, after an edit. */
export function editParts<T>(parts: readonly T[], { kind, at, other }: PartEdit): T[] {
  const i = at % parts.length, j = other % parts.length;
  switch (kind) {
    case "drop":
      return parts.toSpliced(i, 1);
    case "repeat":
      return parts.toSpliced(j, 0, parts[i]!);
    case "swap":
      return parts.with(i, parts[j]!).with(j, parts[i]!);
  }
}
