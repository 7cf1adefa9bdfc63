/** Tensors on their way to disk. */
export interface SavedTensors {
  /** Sizes by name, in the order of `values`. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** The values of each, row-major. */
  readonly values: AsyncIterable<Float32Array>;
}

/** An open file of tensors. */
export interface SavedFile extends Disposable {
  /** Element type ("F32") and sizes by name. */
  readonly tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>;
  /** The bytes of one. */
  readBytes(name: string): Promise<Uint8Array<ArrayBuffer>>;
}

/** Where the stages of a job keep what they have finished, for a later run to go on from. */
export interface JobStore {
  /** Whether the last `save()` is long enough ago for another one. */
  readonly due: boolean;
  /** Whether output frame `frame`, counted from 0, is finished already. */
  isDone(frame: number): boolean;
  /** Names of what is kept in `folder`, sorted. */
  list(folder: string): string[];
  /** What was saved under `name`; null where it is missing or damaged. Close it after use. */
  load(name: string): Promise<SavedFile | null>;
  /** Keeps tensors under `name`, a path with one folder; a killed process leaves them complete or not at all. */
  save(name: string, tensors: SavedTensors): Promise<void>;
  /** Drops what was saved under `name`. */
  remove(name: string): Promise<void>;
}
