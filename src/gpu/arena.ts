import { LimitError } from "./errors.ts";

/** A tensor to place: its name, its size and the first and last node (inclusive) during which it must keep its bytes. */
export interface ArenaItem {
  readonly label: string;
  readonly byteLength: number;
  readonly first: number;
  readonly last: number;
}

export interface ArenaPlan {
  /** Arena and byte offset of each item, in the order of the items. */
  readonly places: readonly { readonly arena: number; readonly byteOffset: number }[];
  /** Size of each arena in bytes. */
  readonly arenas: readonly number[];
}

export interface ArenaOptions {
  /** Pairs of items that must not share an arena. WebGPU refuses a buffer that one dispatch reads and writes. */
  readonly apart: readonly (readonly [number, number])[];
  /** Every offset is a multiple of this. */
  readonly alignment: number;
  /** No arena grows beyond this many bytes. */
  readonly maxArenaBytes: number;
}

/**
 * Places items with lifetimes in as few bytes as a greedy choice finds: largest first, each at the lowest free
 * offset of the arena that grows least. Pure; the same input gives the same plan. Throws `LimitError` for an item that no
 * arena can hold.
 */
export function planArenas(items: readonly ArenaItem[], options: ArenaOptions): ArenaPlan {
  const { apart, alignment, maxArenaBytes } = options;
  const enemies = items.map(() => new Set<number>());
  for (const [a, b] of apart) {
    enemies[a]!.add(b);
    enemies[b]!.add(a);
  }
  const arenas: { size: number; members: number[] }[] = [];
  const places: { arena: number; byteOffset: number }[] = new Array(items.length);
  const order = items.map((_, i) => i).sort((a, b) => items[b]!.byteLength - items[a]!.byteLength || a - b);

  for (const i of order) {
    const size = roundUp(items[i]!.byteLength, alignment);
    if (size > maxArenaBytes) {
      throw new LimitError(
        `Cannot place "${items[i]!.label}": ${items[i]!.byteLength} bytes, a buffer holds ${maxArenaBytes}`,
      );
    }
    let best = { arena: arenas.length, byteOffset: 0, growth: Infinity };
    arenas.forEach(({ size: arenaSize, members }, arena) => {
      if (members.some((m) => enemies[i]!.has(m))) return;
      const byteOffset = lowestGap(members.filter((m) => overlaps(items[m]!, items[i]!)), size);
      const growth = Math.max(0, byteOffset + size - arenaSize);
      if (byteOffset + size <= maxArenaBytes && growth < best.growth) best = { arena, byteOffset, growth };
    });
    const arena = arenas[best.arena] ??= { size: 0, members: [] };
    arena.size = Math.max(arena.size, best.byteOffset + size);
    arena.members.push(i);
    places[i] = { arena: best.arena, byteOffset: best.byteOffset };
  }
  return { places, arenas: arenas.map((a) => a.size) };

  function lowestGap(members: readonly number[], size: number): number {
    let offset = 0;
    for (const m of [...members].sort((a, b) => places[a]!.byteOffset - places[b]!.byteOffset)) {
      if (places[m]!.byteOffset - offset >= size) break;
      offset = Math.max(offset, places[m]!.byteOffset + roundUp(items[m]!.byteLength, alignment));
    }
    return offset;
  }
}

/** Whether both must keep their bytes at some node. */
export function overlaps(a: ArenaItem, b: ArenaItem): boolean {
  return a.first <= b.last && b.first <= a.last;
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
