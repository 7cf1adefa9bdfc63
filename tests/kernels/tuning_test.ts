import assert from "node:assert/strict";
import type { AdapterFacts } from "../../src/gpu/device.ts";
import { attentionVariant, gemmVariant, subgroupTiles, workgroupTiles } from "../../src/kernels/tuning.ts";

const HARDWARE: AdapterFacts = {
  description: "card",
  vendor: "",
  architecture: "",
  software: false,
  subgroupSize: 32,
  timestamps: true,
  float16: true,
  maxBindingBytes: 2 ** 27,
  maxBufferBytes: 2 ** 28,
  maxWorkgroupBytes: 16384,
  maxInvocations: 256,
};
const SOFTWARE = { ...HARDWARE, software: true, subgroupSize: 8 };

/** Each side of every threshold that a shape may cross. */
const SHAPES = [1, 8, 9, 31, 32, 255, 256, 1023, 1024, 10 ** 6].flatMap((rows) =>
  [1, 2, 3, 4, 5, 8, 9, 320].map((columns4) => ({ rows, columns4 }))
);

Deno.test("gemmVariant() uses subgroups only on software adapters of one subgroup size", () => {
  for (const shape of SHAPES) {
    assert.equal(gemmVariant(SOFTWARE, shape).kernel, "subgroup");
    assert.equal(gemmVariant({ ...SOFTWARE, subgroupSize: 0 }, shape).kernel, "tiled");
    assert.equal(gemmVariant(HARDWARE, shape).kernel, "tiled");
  }
});

Deno.test("gemmVariant() chooses only tiles on the lists, so that all are compiled by a test", () => {
  for (const shape of SHAPES) {
    const { SUBGROUP, WAVES, ...registers } = gemmVariant(SOFTWARE, shape).constants;
    assert.equal(SUBGROUP, 8);
    assert.ok(Number(WAVES) >= 1 && Number(WAVES) <= 4);
    for (
      const [tiles, chosen] of [[subgroupTiles, registers], [
        workgroupTiles,
        gemmVariant(HARDWARE, shape).constants,
      ]] as const
    ) {
      const text = JSON.stringify(chosen);
      assert.ok(tiles.some((tile) => JSON.stringify(tile) === text), `${text} is on no list`);
    }
  }
});

Deno.test("gemmVariant() gives the tile that its constants compute", () => {
  for (const shape of SHAPES) {
    const tiled = gemmVariant(HARDWARE, shape);
    const { LANES_M, LANES_N, TM, TN4 } = tiled.constants as Record<string, number>;
    assert.equal(LANES_M! * LANES_N!, 64);
    assert.equal(tiled.tileRows, LANES_M! * TM!);
    assert.equal(tiled.tileColumns4, LANES_N! * TN4!);

    const subgroup = gemmVariant(SOFTWARE, shape);
    const { WAVES, TP, TC4 } = subgroup.constants as Record<string, number>;
    assert.equal(subgroup.tileRows, WAVES! * 8 * TP!);
    assert.equal(subgroup.tileColumns4, TC4);
  }
});

Deno.test("gemmVariant() wastes no tile on columns that a narrow product does not have", () => {
  for (const facts of [SOFTWARE, HARDWARE]) {
    for (const columns4 of [1, 2]) {
      assert.equal(gemmVariant(facts, { rows: 5000, columns4 }).tileColumns4, columns4);
    }
  }
});

Deno.test("attentionVariant() uses subgroups only on software adapters of one subgroup size", () => {
  for (const channels of [4, 16, 40, 64, 68, 128, 132, 512]) {
    assert.equal(attentionVariant(SOFTWARE, channels).kernel, "subgroup");
    assert.equal(attentionVariant({ ...SOFTWARE, subgroupSize: 0 }, channels).kernel, "tiled");
    assert.equal(attentionVariant(HARDWARE, channels).kernel, "tiled");
  }
});

Deno.test("attentionVariant() gives tiles that cover the head and the queries they claim", () => {
  for (const channels of [4, 8, 12, 16, 40, 64, 68, 128, 132, 260, 512]) {
    const subgroup = attentionVariant(SOFTWARE, channels);
    assert.equal(subgroup.constants.HEAD_CHANNELS4, channels / 4);
    assert.equal(subgroup.constants.SUBGROUP, 8);
    assert.equal(subgroup.tileQueries, 8 * Number(subgroup.constants.TQ));

    for (const facts of [HARDWARE, { ...SOFTWARE, subgroupSize: 0 }]) {
      const tiled = attentionVariant(facts, channels);
      const { LANES, QUERIES, HEAD_CHANNELS4, CHANNEL_LANES, LANE_CHANNELS4 } = tiled.constants as Record<
        string,
        number
      >;
      assert.equal(HEAD_CHANNELS4, channels / 4);
      assert.equal(tiled.tileQueries, QUERIES);
      assert.equal(LANES! % QUERIES!, 0);
      assert.equal(LANES! % CHANNEL_LANES!, 0);
      assert.ok(CHANNEL_LANES! * LANE_CHANNELS4! >= HEAD_CHANNELS4);
    }
  }
});
