import assert from "node:assert/strict";
import { type ArenaItem, type ArenaPlan, planArenas } from "../../src/gpu/arena.ts";

const OPTIONS = { apart: [], alignment: 256, maxArenaBytes: 2 ** 30 };

function assertSound(
  items: readonly ArenaItem[],
  plan: ArenaPlan,
  apart: readonly (readonly [number, number])[],
) {
  items.forEach((a, i) => {
    const p = plan.places[i]!;
    assert.equal(p.byteOffset % 256, 0);
    assert.ok(p.byteOffset + a.byteLength <= plan.arenas[p.arena]!, `item ${i} ends beyond its arena`);
    items.slice(0, i).forEach((b, j) => {
      const q = plan.places[j]!;
      const together = a.first <= b.last && b.first <= a.last && p.arena === q.arena;
      const disjoint = p.byteOffset + a.byteLength <= q.byteOffset ||
        q.byteOffset + b.byteLength <= p.byteOffset;
      assert.ok(!together || disjoint, `items ${j} and ${i} overlap`);
    });
  });
  for (const [a, b] of apart) assert.notEqual(plan.places[a]!.arena, plan.places[b]!.arena);
}

Deno.test("planArenas() gives the bytes of a finished tensor to a later one", () => {
  const items = [
    { label: "x", byteLength: 1000, first: 0, last: 1 },
    { label: "x", byteLength: 1000, first: 2, last: 3 },
  ];
  const plan = planArenas(items, OPTIONS);
  assertSound(items, plan, []);
  assert.deepEqual(plan.arenas, [1024]);
});

Deno.test("planArenas() keeps tensors of one dispatch apart that are read and written", () => {
  const items = [
    { label: "x", byteLength: 512, first: 0, last: 1 },
    { label: "x", byteLength: 512, first: 1, last: 2 },
    { label: "x", byteLength: 512, first: 2, last: 2 },
  ];
  const apart: [number, number][] = [[0, 1], [1, 2]];
  const plan = planArenas(items, { ...OPTIONS, apart });
  assertSound(items, plan, apart);
  assert.equal(plan.arenas.reduce((a, b) => a + b), 1024);
});

Deno.test("planArenas() begins another arena when one is full, and refuses a tensor that fits none", () => {
  const items = [0, 1, 2].map((i) => ({ label: `vae.${i}`, byteLength: 600 + i, first: 0, last: 9 }));
  const plan = planArenas(items, { ...OPTIONS, maxArenaBytes: 1536 });
  assertSound(items, plan, []);
  assert.equal(plan.arenas.length, 2);
  assert.throws(
    () => planArenas(items, { ...OPTIONS, maxArenaBytes: 512 }),
    { name: "LimitError", message: 'Cannot place "vae.2": 602 bytes, a buffer holds 512' },
  );
});

Deno.test("planArenas() stays sound and near the peak for a thousand random chains", () => {
  let state = 1;
  function random(n: number): number {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  }
  for (let round = 0; round < 1000; round++) {
    const items = Array.from({ length: 1 + random(30) }, (_, i) => {
      return { label: `${i}`, byteLength: 1 + random(5000), first: i, last: i + random(6) };
    });
    const apart = items.slice(1).map((_, i): [number, number] => [i, i + 1]);
    const plan = planArenas(items, { ...OPTIONS, apart });
    assertSound(items, plan, apart);
    const rounded = (n: number) => Math.ceil(n / 256) * 256;
    const peak = Math.max(
      ...items.map((at) =>
        items.reduce(
          (sum, i) => sum + (i.first <= at.first && at.first <= i.last ? rounded(i.byteLength) : 0),
          0,
        )
      ),
    );
    const total = plan.arenas.reduce((a, b) => a + b);
    assert.ok(
      total >= peak && total <= 2 * peak + 10000,
      `round ${round}: ${total} bytes for a peak of ${peak}`,
    );
  }
});
