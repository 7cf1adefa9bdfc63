import { type ArenaItem, type ArenaPlan, overlaps, planArenas } from "./arena.ts";
import { BINDING_ALIGNMENT } from "./device.ts";
import { type RecordedDispatch, tensorOf } from "./dispatch.ts";
import type { Storage, Tensor } from "./tensor.ts";

/** Where the tensors of a recording are to lie. */
export interface Layout {
  /** Storages of the tensors that have no memory of their own. */
  readonly storages: readonly Storage[];
  /** Arena and offset of each of them, and the sizes of the arenas. */
  readonly plan: ArenaPlan;
  /** So many of the arenas, the first ones, hold nothing that must outlive a replay but its outputs. */
  readonly scratchArenas: number;
  /** Virtual tensors in textures; none of them outlives a replay. */
  readonly textures: TexturePlan;
}

/** Which textures there must be, and which of them each tensor is in. */
export interface TexturePlan {
  readonly storages: readonly Storage[];
  /** Index of the texture of each of them. */
  readonly places: readonly number[];
  /** Sizes of the textures in bytes. */
  readonly sizes: readonly number[];
}

interface Place {
  readonly storage: Storage;
  readonly item: { label: string; byteLength: number; first: number; last: number };
  /** Index among those that are kept or those that are not. */
  readonly index: number;
}

/**
 * Which of another plan's arenas, of the sizes `shared`, serves for each of `arenas`, or -1: the smallest that is large
 * enough and not taken, for the largest first.
 */
export function matchArenas(arenas: readonly number[], shared: readonly number[]): number[] {
  const matches = arenas.map(() => -1);
  const bySize = (sizes: readonly number[]) =>
    sizes.map((size, i) => ({ size, i })).sort((a, b) => a.size - b.size);
  const free = bySize(shared);
  for (const { size, i } of bySize(arenas).reverse()) {
    const at = free.findIndex((candidate) => candidate.size >= size);
    if (at >= 0) matches[i] = free.splice(at, 1)[0]!.i;
  }
  return matches;
}

/**
 * Places tensors by their lifetimes: what `kept` dispatches write lives as long as the plan, in arenas of its own, the
 * rest from the first to the last of the `replayed` dispatches that uses it, `outputs` to the end. Pure. Throws
 * `TypeError` for a tensor that is read before, or wanted without, anything having written it.
 */
export function layOut(
  { kept, replayed }: {
    readonly kept: readonly RecordedDispatch[];
    readonly replayed: readonly RecordedDispatch[];
  },
  { virtual, outputs, maxArenaBytes }: {
    /** Storages of virtual tensors. */
    readonly virtual: ReadonlyMap<Storage, Tensor>;
    readonly outputs: readonly Tensor[];
    readonly maxArenaBytes: number;
  },
): Layout {
  const group = () => new Map<Storage, Place>();
  const places = { kept: group(), scratch: group(), textures: group() };
  const apart = { kept: [] as [number, number][], scratch: [] as [number, number][] };
  const find = (storage: Storage) =>
    places.kept.get(storage) ?? places.scratch.get(storage) ?? places.textures.get(storage);

  function note({ kernel, bindings, label }: RecordedDispatch, at: number, group: "kept" | "scratch"): void {
    const read: number[] = [], written: number[] = [];
    for (const [name, bound] of Object.entries(bindings)) {
      const storage = tensorOf(bound)?.storage;
      if (!storage || !virtual.has(storage)) continue;
      const access = kernel.declaration.bindings[name];
      let place = find(storage);
      if (!place) {
        if (access !== "write") {
          throw new TypeError(
            `Cannot run ${kernel.name} "${label}": "${name}" is read before anything wrote it`,
          );
        }
        const item = {
          label: virtual.get(storage)!.label,
          byteLength: storage.byteLength,
          first: at,
          last: at,
        };
        if (group === "kept" && virtual.get(storage)!.inTexture) {
          throw new TypeError(
            `Cannot run ${kernel.name} "${label}": "${name}" is in a texture and would be kept`,
          );
        }
        const among = places[virtual.get(storage)!.inTexture ? "textures" : group];
        place = { storage, item, index: among.size };
        among.set(storage, place);
      }
      place.item.last = Math.max(place.item.last, at);
      if (places[group].has(storage)) (access === "read" ? read : written).push(place.index);
    }
    for (const w of written) for (const r of read) apart[group].push([w, r]);
  }
  kept.forEach((node) => note(node, 0, "kept"));
  replayed.forEach((node, at) => note(node, at, "scratch"));
  for (const { storage, label } of outputs) {
    const place = find(storage);
    if (place) place.item.last = replayed.length;
    else if (virtual.has(storage)) throw new TypeError(`Cannot finish: output "${label}" was never written`);
  }

  const plan = (group: "kept" | "scratch") => {
    const items = [...places[group].values()].map(({ item }): ArenaItem => item);
    return planArenas(items, { apart: apart[group], alignment: BINDING_ALIGNMENT, maxArenaBytes });
  };
  const scratch = plan("scratch"), held = plan("kept");
  const offset = scratch.arenas.length;
  return {
    storages: [...places.scratch.keys(), ...places.kept.keys()],
    plan: {
      places: [
        ...scratch.places,
        ...held.places.map(({ arena, byteOffset }) => ({ arena: offset + arena, byteOffset })),
      ],
      arenas: [...scratch.arenas, ...held.arenas],
    },
    scratchArenas: offset,
    textures: shareTextures([...places.textures.values()]),
  };
}

/** Tensors share a texture where they are never needed at the same time; the largest choose first. */
function shareTextures(places: readonly Place[]): TexturePlan {
  const members: ArenaItem[][] = [];
  const order = [...places].sort((a, b) => b.item.byteLength - a.item.byteLength || a.index - b.index);
  return {
    storages: order.map(({ storage }) => storage),
    places: order.map(({ item }) => {
      const free = members.findIndex((others) => !others.some((other) => overlaps(other, item)));
      if (free < 0) return members.push([item]) - 1;
      members[free]!.push(item);
      return free;
    }),
    sizes: members.map(([largest]) => largest!.byteLength),
  };
}
