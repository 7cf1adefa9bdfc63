import assert from "node:assert/strict";
import type { AdapterFacts } from "../../src/gpu/device.ts";
import {
  attentionCandidates,
  directCandidates,
  gemmCandidates,
  type GemmVariant,
  prefersTexture,
  prefersVolume,
  prefersWinograd,
  subgroupTiles,
  workgroupTiles,
} from "../../src/kernels/tuning.ts";

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
  maxTextureRows: 16_384,
  maxWorkgroupBytes: 32768,
  maxInvocations: 256,
};
const SOFTWARE = { ...HARDWARE, software: true, subgroupSize: 8 };

const WITHOUT_SUBGROUPS = { ...SOFTWARE, subgroupSize: 0 };

const SHAPES = [1, 8, 9, 31, 32, 255, 256, 1023, 1024, 10 ** 6].flatMap((rows) =>
  [1, 2, 3, 4, 5, 8, 9, 320].map((columns4) => ({ rows, columns4 }))
);

const HEAD_CHANNELS = [4, 8, 12, 16, 40, 64, 68, 128, 132, 256, 260, 512];

Deno.test("gemmCandidates() uses subgroups only on software adapters of one subgroup size", () => {
  const kernels = (facts: AdapterFacts) =>
    new Set(SHAPES.flatMap((shape) => gemmCandidates(facts, shape)).map(({ kernel }) => kernel));
  assert.deepEqual(kernels(SOFTWARE), new Set(["subgroup"]));
  assert.deepEqual(kernels(WITHOUT_SUBGROUPS), new Set(["tiled"]));
  assert.deepEqual(kernels(HARDWARE), new Set(["tiled"]));
});

Deno.test("gemmCandidates() gives different tiles, all on the lists, so that each is compiled by a test", () => {
  for (const shape of SHAPES) {
    for (
      const [facts, list] of [
        [SOFTWARE, subgroupTiles],
        [HARDWARE, workgroupTiles],
        [WITHOUT_SUBGROUPS, workgroupTiles],
      ] as const
    ) {
      const known = list.map((tile) => JSON.stringify(tile));
      const tiles = gemmCandidates(facts, shape).map(({ constants: { SUBGROUP, WAVES, ...tile } }) => {
        assert.equal(SUBGROUP, facts === SOFTWARE ? 8 : undefined);
        assert.ok(facts !== SOFTWARE || Number(WAVES) >= 1 && Number(WAVES) <= 4);
        return JSON.stringify(tile);
      });
      assert.ok(tiles.length >= 1);
      assert.equal(new Set(tiles).size, tiles.length);
      for (const tile of tiles) assert.ok(known.includes(tile), `${tile} is on no list`);
    }
  }
});

Deno.test("gemmCandidates() gives the size that the constants compute", () => {
  for (const shape of SHAPES) {
    for (const { constants, tileRows, tileColumns4 } of gemmCandidates(HARDWARE, shape)) {
      const { LANES_M, LANES_N, TM, TN4 } = constants as Record<string, number>;
      assert.equal(tileRows, LANES_M! * TM!);
      assert.equal(tileColumns4, LANES_N! * TN4!);
    }
    for (const { constants, tileRows, tileColumns4 } of gemmCandidates(SOFTWARE, shape)) {
      const { WAVES, TP, TC4 } = constants as Record<string, number>;
      assert.equal(tileRows, WAVES! * 8 * TP!);
      assert.equal(tileColumns4, TC4);
    }
  }
});

Deno.test("gemmCandidates() keeps two workgroups on each of 64 cores busy where the product has that many", () => {
  // 1×1 convolutions and linear layers of the large UNet, and its Winograd products.
  for (
    const [shape, tile] of [
      [{ rows: 4096, columns4: 64 }, [128, 16]],
      [{ rows: 1024, columns4: 128 }, [64, 16]],
      [{ rows: 256, columns4: 256 }, [64, 8]],
      [{ rows: 57600, columns4: 64 }, [128, 16]],
      [{ rows: 256, columns4: 64, batch: 36 }, [64, 16]],
      [{ rows: 16, columns4: 256, batch: 36 }, [16, 16]],
    ] as const
  ) {
    const best = gemmCandidates(HARDWARE, shape)[0]!;
    assert.deepEqual([best.tileRows, best.tileColumns4], tile);
    assert.ok(workgroups(best, shape) >= 128, JSON.stringify(shape));
  }
});

Deno.test("gemmCandidates() wastes no tile on columns that a narrow product does not have", () => {
  for (const facts of [SOFTWARE, HARDWARE, WITHOUT_SUBGROUPS]) {
    for (const columns4 of [1, 2]) {
      assert.equal(gemmCandidates(facts, { rows: 10 ** 5, columns4 })[0]!.tileColumns4, columns4);
    }
  }
});

Deno.test("gemmCandidates() leaves out what the adapter cannot run", () => {
  const shape = { rows: 10 ** 5, columns4: 512 };
  const lanes = (facts: AdapterFacts) =>
    gemmCandidates(facts, shape).map(({ constants }) =>
      Number(constants.LANES_M) * Number(constants.LANES_N)
    );
  assert.ok(lanes(HARDWARE).includes(256));
  assert.ok(lanes({ ...HARDWARE, maxInvocations: 128 }).every((count) => count <= 128));
  // 128 × 128 takes 16,448 bytes.
  const isLargest = ({ tileRows, tileColumns4 }: GemmVariant) => tileRows === 128 && tileColumns4 === 32;
  assert.ok(gemmCandidates(HARDWARE, shape).some(isLargest));
  assert.ok(!gemmCandidates({ ...HARDWARE, maxWorkgroupBytes: 16384 }, shape).some(isLargest));
});

Deno.test("attentionCandidates() uses subgroups only on software adapters of one subgroup size", () => {
  for (const channels of HEAD_CHANNELS) {
    assert.equal(attentionCandidates(SOFTWARE, channels)[0]!.kernel, "subgroup");
    assert.equal(attentionCandidates(WITHOUT_SUBGROUPS, channels)[0]!.kernel, "tiled");
    assert.equal(attentionCandidates(HARDWARE, channels)[0]!.kernel, "tiled");
  }
});

Deno.test("attentionCandidates() gives tiles that cover the head and the queries they claim", () => {
  for (const channels of HEAD_CHANNELS) {
    const [subgroup] = attentionCandidates(SOFTWARE, channels);
    assert.equal(subgroup!.constants.HEAD_CHANNELS4, channels / 4);
    assert.equal(subgroup!.constants.SUBGROUP, 8);
    assert.equal(subgroup!.tileQueries, 8 * Number(subgroup!.constants.TQ));

    const tiles = attentionCandidates({ ...HARDWARE, maxInvocations: 1024 }, channels);
    assert.deepEqual(tiles.map(({ tileQueries }) => tileQueries), [32, 64, 16]);
    for (const { tileQueries, constants } of tiles) {
      const { QUERIES, ROW_LANES, HEAD_CHANNELS4, CHANNEL_LANES, LANE_CHANNELS4, DEPTH4 } =
        constants as Record<string, number>;
      const lanes = QUERIES! * ROW_LANES!;
      assert.equal(HEAD_CHANNELS4, channels / 4);
      assert.equal(tileQueries, QUERIES);
      for (const divisor of [16, DEPTH4!, CHANNEL_LANES!]) assert.equal(lanes % divisor, 0);
      assert.equal(16 % ROW_LANES!, 0);
      assert.equal(CHANNEL_LANES! % ROW_LANES!, 0);
      assert.ok(CHANNEL_LANES! * LANE_CHANNELS4! >= HEAD_CHANNELS4);
    }
  }
});

Deno.test("attentionCandidates() fits the least workgroup memory and lanes that WebGPU grants", () => {
  for (const channels of HEAD_CHANNELS) {
    const tiles = attentionCandidates({ ...HARDWARE, maxWorkgroupBytes: 16384 }, channels);
    assert.deepEqual(tiles.map(({ tileQueries }) => tileQueries), [32, 16]);
  }
});

function workgroups(
  { tileRows, tileColumns4 }: GemmVariant,
  { rows, columns4, batch = 1 }: {
    readonly rows: number;
    readonly columns4: number;
    readonly batch?: number;
  },
): number {
  return batch * Math.ceil(rows / tileRows) * Math.ceil(columns4 / tileColumns4);
}

/** RAFT's first convolution at 640×360. */
const STEM = { kernelWidth: 7, stride: 2, inChannels: 3, outChannels: 16, pixels: 58880 };

Deno.test("directCandidates() gives subgroups to software adapters, plain loads to GPUs, and nothing between", () => {
  const kernels = (facts: AdapterFacts) => directCandidates(facts, STEM).map(({ kernel }) => kernel);
  assert.deepEqual(kernels(SOFTWARE), ["direct_subgroup"]);
  assert.deepEqual(kernels(WITHOUT_SUBGROUPS), []);
  assert.deepEqual(kernels(HARDWARE), ["direct", "direct", "direct"]);
});

Deno.test("directCandidates() takes few channels, and on GPUs four input channels at most", () => {
  const conv = { kernelWidth: 3, stride: 1, inChannels: 16, outChannels: 16, pixels: 230400 };
  for (
    const [change, software, hardware] of [
      [{}, 1, 0],
      [{ inChannels: 32 }, 1, 0],
      [{ inChannels: 36 }, 0, 0],
      [{ inChannels: 512, outChannels: 8 }, 1, 0],
      [{ inChannels: 36, outChannels: 9 }, 0, 0],
      [{ stride: 2 }, 0, 0],
      [{ inChannels: 4, stride: 2, outChannels: 320 }, 1, 3],
      [{ inChannels: 4, outChannels: 3 }, 1, 1],
      [{ kernelWidth: 1 }, 0, 0],
      [{ kernelWidth: 7, inChannels: 4 }, 0, 0],
      [{ inChannels: 4, outChannels: 64, pixels: 256 }, 1, 0],
      [{ inChannels: 4, outChannels: 64, pixels: 255 }, 0, 0],
    ] as const
  ) {
    const size = { ...conv, ...change }, text = JSON.stringify(change);
    assert.equal(directCandidates(SOFTWARE, size).length, software, text);
    assert.equal(directCandidates(HARDWARE, size).length, hardware, text);
  }
});

Deno.test("directCandidates() gives the size that the constants compute", () => {
  const [software] = directCandidates(SOFTWARE, STEM);
  assert.deepEqual(software, {
    kernel: "direct_subgroup",
    constants: { SUBGROUP: 8, WAVES: 4, KW: 7, STRIDE: 2, CHANNELS: 3, PX: 4, TC4: 4 },
    runPixels: 4,
    tileRuns: 32,
    tileColumns4: 4,
  });
  for (const { constants, runPixels, tileColumns4, tileRuns } of directCandidates(HARDWARE, STEM)) {
    assert.deepEqual([runPixels, tileColumns4, tileRuns], [constants.PX, constants.TC4, 64]);
  }
});

Deno.test("prefersTexture() wants software with subgroups, and a texture that can be so high", () => {
  const choice = (facts: AdapterFacts, vec4s: number) => prefersTexture(facts, vec4s);
  assert.deepEqual([SOFTWARE, WITHOUT_SUBGROUPS, HARDWARE].map((f) => choice(f, 100)), [true, false, false]);
  const most = 512 * SOFTWARE.maxTextureRows;
  assert.deepEqual([choice(SOFTWARE, most), choice(SOFTWARE, most + 1)], [true, false]);
});

Deno.test("prefersWinograd() wants more channels where the rival computes runs", () => {
  const choice = (facts: AdapterFacts, inChannels: number, outChannels: number, pixels = 128) =>
    prefersWinograd(facts, { inChannels, outChannels, pixels, filterKept: true });
  assert.deepEqual([SOFTWARE, WITHOUT_SUBGROUPS, HARDWARE].map((f) => choice(f, 16, 16)), [
    false,
    true,
    true,
  ]);
  assert.equal(choice(SOFTWARE, 16, 31), false);
  assert.equal(choice(SOFTWARE, 32, 16), true);
  assert.equal(choice(HARDWARE, 64, 15), false);
  assert.equal(choice(HARDWARE, 64, 64, 127), false);
  assert.equal(
    prefersWinograd(HARDWARE, { inChannels: 64, outChannels: 64, pixels: 1023, filterKept: false }),
    false,
  );
});

Deno.test("prefersVolume() wants look-ups enough, and a software adapter", () => {
  const choice = (facts: AdapterFacts, pixels: number) => prefersVolume(facts, { pixels, lookUps: 100 });
  assert.deepEqual([800, 801].map((pixels) => choice(SOFTWARE, pixels)), [true, false]);
  assert.equal(choice(HARDWARE, 1), false);
});
