/** The error of every format. */
import { shortened } from './quote.ts';

/** The longest message; what is longer ends in `...`. */
const LONGEST = 300;

/** A file or state that cannot be read: what is wrong with it, and where. Nothing was changed. */
export class CheckpointError extends Error {
  /** `"CheckpointError"`. */
  override readonly name = 'CheckpointError';

  /**
   * @param message - One sentence; cut after 300 characters.
   * @param options - `cause`: the error below this one.
   */
  constructor(message: string, options?: { cause?: unknown }) {
    super(shortened(message, LONGEST), options);
  }
}
