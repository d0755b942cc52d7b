/** The error of every format. */

/** A file or state that cannot be read: what is wrong with it, and where. Nothing was changed. */
export class CheckpointError extends Error {
  /** `"CheckpointError"`. */
  override readonly name = 'CheckpointError';
}
