/** Whole files of torch.save: in memory at once, or piece by piece. */
import { options as checkOptions } from '../../core/check.ts';
import type { OptimizerStateDict, StateValue } from '../../core/dtype.ts';
import { type ByteSource, checkBytes } from '../byte-source.ts';
import { brief } from '../quote.ts';
import { readBytes, readSource } from '../reading.ts';
import { joined, planZip, type ZipInput, zipPieces } from '../zip-write.ts';
import { readArchive } from './archive.ts';
import { encodeEntries } from './encode.ts';
import { isOptimizer } from './optimizer-dict.ts';

/** Options of {@link decodeTorch}. */
export interface DecodeTorchOptions {
  /**
   * Takes a checksum of 0 for an absent one, as `torch.serialization.set_crc32_options(False)`
   * leaves it. Default false.
   */
  allowMissingCrc?: boolean;
}

/** Options of {@link encodeTorch}. */
export interface EncodeTorchOptions {
  /**
   * Key the state by these names, in parameter order, in place of indices: the form
   * `torch.distributed.checkpoint.state_dict` wants. As many as the groups have parameters, all
   * different.
   */
  parameterNames?: readonly string[];
}

function readOptions(label: string, options: DecodeTorchOptions): boolean {
  return checkOptions(label, options, ['allowMissingCrc']).allowMissingCrc === true;
}

/**
 * Reads a file that `torch.save` has written: all that `torch.load(weights_only=True)` reads, also
 * the format from before PyTorch 1.6. Dicts become objects (their keys text), lists, tuples, sets
 * and `torch.Size` arrays, ints and floats numbers (bigints beyond 2^53), bytes Uint8Arrays, dtypes
 * and devices text, parameters and tensors `StateTensor`s with elements of their own, in row-major
 * order whatever their strides.
 *
 * int8, int16 and int32 tensors become int64. Formats without an array here (uint16, float8,
 * complex ...) keep their bytes, little-endian, in a Uint8Array under PyTorch's name of the format;
 * so does a complex number, as a tensor without dimensions.
 *
 * Nothing is executed: a file may use a short list of names (docs/pytorch.md), and nothing else.
 *
 * @param bytes - The file's contents; a Buffer too.
 * @returns Plain data; detached from `bytes`.
 * @throws CheckpointError that says what is wrong and where: neither of the formats, damaged,
 * compressed, with a pickle that does anything else than describe data, sparse or quantized
 * tensors, nested more than 64 deep, or asking for memory out of proportion to the file (more than
 * 64 MiB and 20 times its size).
 * @throws TypeError when `bytes` is no Uint8Array.
 */
export function decodeTorch(bytes: Uint8Array, options: DecodeTorchOptions = {}): StateValue {
  const allowMissingCrc = readOptions('decodeTorch', options);
  checkBytes('decodeTorch', bytes);
  // Memory that another thread could write to between check and use is copied first.
  const shared = Object.prototype.toString.call(bytes.buffer) === '[object SharedArrayBuffer]';
  // A Buffer's slice() would share its memory: a plain array over the same bytes does not.
  const own = shared ? new Uint8Array(bytes) : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  return readBytes(own, readArchive(own.length, allowMissingCrc));
}

/**
 * {@link decodeTorch} for a file of any size that lies elsewhere: it is read piece by piece into
 * the arrays of the result. Beside them only the file's directory and description are held, and one
 * storage at a time where tensors do not lie in it row by row.
 *
 * @throws CheckpointError as decodeTorch does, and what `source.read` rejects with.
 */
export async function readTorch(source: ByteSource, options: DecodeTorchOptions = {}): Promise<StateValue> {
  const allowMissingCrc = readOptions('readTorch', options);
  return await readSource(source, readArchive(source.size, allowMissingCrc));
}

function entriesOf(
  stateDict: OptimizerStateDict | Record<string, StateValue>,
  options: EncodeTorchOptions,
): ZipInput[] {
  const { parameterNames } = checkOptions('encodeTorch', options, ['parameterNames']) as EncodeTorchOptions;
  if (Object.prototype.toString.call(stateDict) !== '[object Object]')
    throw new TypeError(`encodeTorch: stateDict must be an object, got ${brief(stateDict)}`);
  if ('stateDict' in stateDict && typeof stateDict.stateDict === 'function')
    throw new TypeError(
      'encodeTorch: stateDict must be an object; this has a stateDict() of its own: give what it returns',
    );
  if (parameterNames !== undefined && (!Array.isArray(parameterNames) || !isOptimizer(stateDict))) {
    throw new TypeError(
      'encodeTorch: parameterNames must be an array of strings, beside the state dict of an optimizer',
    );
  }
  return encodeEntries(stateDict, parameterNames);
}

/**
 * Writes a state dict as the file that `torch.save` would have written:
 * `torch.load(weights_only=True)` reads it, and `load_state_dict` of the same optimizer or
 * scheduler there takes it.
 *
 * What JavaScript cannot tell apart is written as PyTorch has it, wherever an optimizer's or a
 * scheduler's dict lies in the data: keys of `state` as ints, `eps` and `betas` as tuples, learning
 * rates and other fractions as floats, `step` as an int (transformers' Adafactor) or a tensor
 * (PyTorch's optimizers: float32, or float64 for a count that float32 does not hold), `RMS` as a
 * tensor of the state's format. Other keys are texts, other arrays lists, whole numbers ints,
 * Uint8Arrays bytes.
 *
 * @param stateDict - Of an optimizer or a scheduler, or any plain data.
 * @returns The file's bytes.
 * @throws TypeError or RangeError, naming the place, for what is no plain data (holes in arrays
 * too), for `parameterNames` that do not fit, and for a file larger than an array can be.
 */
export function encodeTorch(
  stateDict: OptimizerStateDict | Record<string, StateValue>,
  options: EncodeTorchOptions = {},
): Uint8Array {
  return joined(planZip(entriesOf(stateDict, options)));
}

/** Headers and other short pieces are handed on together, up to so many bytes. */
const TOGETHER = 1 << 16;

/**
 * {@link encodeTorch} for any size: the file goes to `sink` piece by piece, in order; arrays are
 * not copied, so they must stay as they are until the promise settles. All of `stateDict` is
 * checked before the first piece.
 *
 * @param sink - Gets each piece; its memory is good until the sink's promise settles.
 * @throws As encodeTorch does, and what `sink` rejects with.
 */
export async function writeTorch(
  stateDict: OptimizerStateDict | Record<string, StateValue>,
  options: EncodeTorchOptions,
  sink: (bytes: Uint8Array) => Promise<void> | void,
): Promise<void> {
  const together = new Uint8Array(TOGETHER);
  let held = 0;
  for (const piece of zipPieces(planZip(entriesOf(stateDict, options)))) {
    const long = piece.length > TOGETHER / 2;
    if (held > 0 && (long || held + piece.length > TOGETHER)) {
      await sink(together.subarray(0, held));
      held = 0;
    }
    if (long) await sink(piece);
    else {
      together.set(piece, held);
      held += piece.length;
    }
  }
  if (held > 0) await sink(together.subarray(0, held));
}
