/**
 * A whole run in one file: parameters, optimizer, scheduler, accumulator and extras. Loading it
 * gives the same run: every later bit is the one of an uninterrupted run.
 *
 * The file is a safetensors file, which Python's `safetensors` reads too. Parameters stand in it
 * under their own names; arrays of state under `optimizer/...` and `accumulator/...`; everything
 * else as JSON under the metadata key `tensorless`, numbers as exact doubles.
 *
 * @module
 */
export type { Stateful, TrainingParts } from './checkpoints/training-parts.ts';
export { decodeTrainingState, encodeTrainingState } from './checkpoints/training-state.ts';
export {
  type ReadOptions,
  readTrainingState,
  type WriteOptions,
  writeTrainingState,
} from './checkpoints/training-stream.ts';
export { type BlobLike, type BlobSlice, type ByteSource, blobSource, bytesSource } from './formats/byte-source.ts';
export { CheckpointError } from './formats/error.ts';
export type { ByteSink } from './formats/pieces.ts';
