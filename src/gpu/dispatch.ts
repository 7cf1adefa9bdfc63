import { BINDING_ALIGNMENT } from "./device.ts";
import type { Constants, Kernel } from "./kernel.ts";
import { Tensor } from "./tensor.ts";

/** A range of a tensor, widened so that it starts at an offset that can be bound. */
export interface Slice {
  readonly tensor: Tensor;
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Index of the first bound `vec4` within the tensor; the shader subtracts it. */
  readonly base: number;
}

/** What a binding may be given: a tensor, a part of one, or nothing (a few zero bytes, for inputs only). */
export type Bound = Tensor | Slice | null;

/** One dispatch. */
export interface Dispatch {
  readonly bindings: Readonly<Record<string, Bound>>;
  readonly params: Readonly<Record<string, number>>;
  /** Number of workgroups in x, y, z, each at most 65,535. */
  readonly workgroups: readonly [number, number, number];
  readonly constants?: Constants;
  /** Appears in profiles and errors: the path of the layer. */
  readonly label: string;
}

/** A dispatch that several variants can compute; its constants are those that all of them share. */
export interface Choice extends Omit<Dispatch, "workgroups"> {
  /** Kernel, shape and storage: dispatches with the same key have the same fastest variant. */
  readonly key: string;
  /** Multiply-adds. */
  readonly work: number;
}

/** A dispatch with its kernel. */
export interface RecordedDispatch extends Dispatch {
  readonly kernel: Kernel;
}

/** The `vec4`s [from, to) of a tensor as a binding. */
export function slice(tensor: Tensor, from: number, to: number): Slice {
  const perStep = BINDING_ALIGNMENT / tensor.vec4Bytes;
  const base = Math.floor(from / perStep) * perStep;
  return { tensor, byteOffset: tensor.vec4Bytes * base, byteLength: tensor.vec4Bytes * (to - base), base };
}

/** The whole of what is bound. */
export function toSlice(bound: Bound): Slice | null {
  return bound instanceof Tensor ? slice(bound, 0, bound.vec4s) : bound;
}

/** The tensor behind a binding. */
export function tensorOf(bound: Bound): Tensor | null {
  return bound === null || bound instanceof Tensor ? bound : bound.tensor;
}

/** Bytes that a binding covers. */
export function byteLength(bound: Bound): number {
  return bound === null ? 0 : bound instanceof Tensor ? bound.storage.byteLength : bound.byteLength;
}
