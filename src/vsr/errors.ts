/** Computed values are NaN or infinite; nothing that hangs on them is handed out or kept. */
export class NonFiniteError extends Error {
  /** The class, for messages. */
  override name = "NonFiniteError";
}

/** A decoded frame is of one colour, though its input shows something; it is not handed out. */
export class BlankFrameError extends Error {
  /** The class, for messages. */
  override name = "BlankFrameError";
}
