/** PyTorch's files on disk. */
import type { OptimizerStateDict, StateValue } from '../core/dtype.ts';
import { replaceFile } from '../disk/atomic-file.ts';
import { fileSource } from '../disk/file-source.ts';
import { pathOf } from '../disk/paths.ts';
import { type DecodeTorchOptions, type EncodeTorchOptions, readTorch, writeTorch } from '../formats/torch/files.ts';
import { named } from './run-file.ts';

/**
 * Reads a file of any size that `torch.save` has written, as `decodeTorch` does, without holding
 * the file.
 *
 * @param path - A path or file: URL.
 * @param options - As of `decodeTorch`.
 * @throws (rejects) CheckpointError with the path, as `decodeTorch`; the file system's error.
 */
export async function loadTorch(path: string | URL, options: DecodeTorchOptions = {}): Promise<StateValue> {
  const absolute = pathOf('loadTorch', path);
  const source = await fileSource(absolute);
  try {
    return await readTorch(source, options);
  } catch (error) {
    throw named(absolute, error);
  } finally {
    await source.close();
  }
}

/**
 * Writes a state dict as `torch.save` would, atomically and durably as `saveTrainingState` does.
 * The arrays are written as they are: leave them alone until the promise settles.
 *
 * @param path - A path or file: URL.
 * @throws (rejects) As `encodeTorch`; the file system's error: the old file is as it was.
 */
export async function saveTorch(
  path: string | URL,
  stateDict: OptimizerStateDict | Record<string, StateValue>,
  options: EncodeTorchOptions = {},
): Promise<void> {
  const absolute = pathOf('saveTorch', path);
  await replaceFile(absolute, (sink) =>
    writeTorch(stateDict, options, async (bytes) => void (await sink.write(bytes))),
  );
}
