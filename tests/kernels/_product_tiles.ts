import type { Gpu } from "../../src/gpu/device.ts";
import type { Constants, Kernel } from "../../src/gpu/kernel.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { subgroupTiles, workgroupTiles } from "../../src/kernels/tuning.ts";
import { evaluate } from "../_gpu_test.ts";

interface Tile {
  readonly kernel: Kernel;
  readonly constants: Constants;
  readonly rows: number;
  readonly columns4: number;
}

/**
 * What `record` computes with each tile of a matrix product that is on a list, by the tile's name. The product has so
 * many rows and vec4s of columns; `tiled` and `subgroup` are its kernels. Needs a device with subgroups.
 */
export async function evaluateEveryTile(
  gpu: Gpu,
  { rows, columns4, tiled, subgroup, record }: {
    readonly rows: number;
    readonly columns4: number;
    readonly tiled: Kernel;
    readonly subgroup: Kernel;
    readonly record: (rec: Recorder) => Tensor;
  },
): Promise<Map<string, Float32Array>> {
  const lanes = gpu.facts.subgroupSize, waves = 2;
  const tiles: Tile[] = [
    ...workgroupTiles.map((constants) => ({
      kernel: tiled,
      constants,
      rows: Number(constants.LANES_M) * Number(constants.TM),
      columns4: Number(constants.LANES_N) * Number(constants.TN4),
    })),
    ...subgroupTiles.map((constants) => ({
      kernel: subgroup,
      constants: { ...constants, SUBGROUP: lanes, WAVES: waves },
      rows: lanes * waves * Number(constants.TP),
      columns4: Number(constants.TC4),
    })),
  ];
  const results = new Map<string, Float32Array>();
  for (const tile of tiles) {
    const [values] = await evaluate(gpu, (rec) => {
      rec.runOneOf = ([first], { key: _key, work: _work, ...dispatch }) =>
        rec.run(tile.kernel, {
          ...dispatch,
          constants: { ...tile.constants, ...dispatch.constants },
          workgroups: [
            Math.ceil(rows / tile.rows),
            Math.ceil(columns4 / tile.columns4),
            first!.workgroups[2],
          ],
        });
      return record(rec);
    });
    results.set(`${tile.kernel.name} ${JSON.stringify(tile.constants)}`, values!);
  }
  return results;
}
