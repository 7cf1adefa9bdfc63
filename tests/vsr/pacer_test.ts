import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Pacer } from "../../src/vsr/pacer.ts";

/** Runs `body` on a clock that only its GPU's waits move, by `unitMs` per unit submitted since the last. */
async function onClock(
  unitMs: () => number,
  body: (pacer: Pacer, state: { waits: number; submit(): Promise<number> }) => Promise<void>,
): Promise<void> {
  const { now } = performance;
  let clock = 0, queued = 0;
  performance.now = () => clock;
  const state = {
    waits: 0,
    submit() {
      queued++;
      return pacer.submitted();
    },
  };
  const gpu = {
    done() {
      state.waits++;
      clock += queued * unitMs();
      queued = 0;
      return Promise.resolve();
    },
  };
  const pacer = new Pacer(gpu as unknown as Gpu);
  try {
    await body(pacer, state);
  } finally {
    performance.now = now;
  }
}

Deno.test("Pacer waits for the first unit, then for twice as many each time, up to 300 ms of work", async () => {
  await onClock(() => 30, async (_, state) => {
    const finished = [];
    for (let i = 0; i < 35; i++) finished.push(await state.submit());
    assert.deepEqual(finished.filter((n) => n > 0), [1, 2, 4, 8, 10, 10]);
    assert.deepEqual(finished.slice(0, 7), [1, 0, 2, 0, 0, 0, 4]);
  });
});

Deno.test("Pacer waits for each unit where one takes longer than 300 ms", async () => {
  await onClock(() => 301, async (_, state) => {
    for (let i = 0; i < 5; i++) assert.equal(await state.submit(), 1);
    assert.equal(state.waits, 5);
  });
});

Deno.test("Pacer waits more often again when units get slower", async () => {
  let unitMs = 20;
  await onClock(() => unitMs, async (_, state) => {
    for (let i = 0; i < 15; i++) await state.submit();
    unitMs = 150;
    const finished = [];
    for (let i = 0; i < 19; i++) finished.push(await state.submit());
    assert.deepEqual(finished.filter((n) => n > 0), [15, 2, 2]);
  });
});

Deno.test("Pacer.drain() waits for what is queued, and not at all for nothing", async () => {
  await onClock(() => 1, async (pacer, state) => {
    assert.equal(await pacer.drain(), 0);
    assert.equal(state.waits, 0);
    await state.submit();
    assert.equal(await state.submit(), 0);
    assert.equal(await pacer.drain(), 1);
    assert.equal(await pacer.drain(), 0);
    assert.equal(state.waits, 2);
  });
});
