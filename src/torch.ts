/**
 * The files that `torch.save` writes: `optimizer.pt` and `scheduler.pt` of a Trainer checkpoint,
 * models, whole checkpoints. Reading executes nothing: the few names that data needs are allowed,
 * everything else in the file is refused.
 *
 * @module
 */
export { CheckpointError } from './formats/error.ts';
export { type DecodeTorchOptions, decodeTorch, type EncodeTorchOptions, encodeTorch } from './formats/torch/files.ts';
