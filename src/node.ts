/**
 * Checkpoints on disk, atomically and durably, of any size; for Node, Deno and Bun.
 *
 * A save writes a temporary file in the same folder, flushes it to the disk, and renames it over
 * the old one; then it flushes the folder. Whatever happens in between (a kill, a full disk, a
 * power cut), the path holds the old state or the new one, never a mix.
 *
 * @module
 */
export { type LoadedWeights, type LoadWeightsOptions, loadWeights } from './checkpoints/hugging-face.ts';
export {
  type CheckpointInfo,
  CheckpointManager,
  type CheckpointManagerOptions,
  type LoadedCheckpoint,
} from './checkpoints/manager.ts';
export { loadTrainingState, saveTrainingState } from './checkpoints/run-file.ts';
export { loadTorch, saveTorch } from './checkpoints/torch-file.ts';
export {
  type LoadedTrainerCheckpoint,
  loadTrainerCheckpoint,
  type SaveTrainerCheckpointOptions,
  saveTrainerCheckpoint,
} from './checkpoints/trainer.ts';
export type { ReadOptions, WriteOptions } from './checkpoints/training-stream.ts';
export { type FileSource, fileSource } from './disk/file-source.ts';
export { CheckpointError } from './formats/error.ts';
