import type { Context, Row } from "../group.ts";

export const name = "peak";
export const description = "What the adapter can do at most; part of every run, since shares refer to it";

/** The ceilings that were measured when the run began. */
export function run({ ceilings }: Context): Promise<Row[]> {
  return Promise.resolve([...ceilings.rows]);
}
