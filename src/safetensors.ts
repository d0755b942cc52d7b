/**
 * safetensors: named arrays in one file, without code in it. The format is described at
 * https://github.com/huggingface/safetensors; files written here are read by Python's `safetensors`
 * and the other way round.
 *
 * Layout: header length (u64, little-endian), header (JSON), then the arrays' bytes without holes.
 *
 * @module
 */
export { type BlobLike, type BlobSlice, type ByteSource, blobSource, bytesSource } from './formats/byte-source.ts';
export { CheckpointError } from './formats/error.ts';
export {
  decodeSafetensors,
  encodeSafetensors,
  openSafetensors,
  type SafetensorsContents,
  type SafetensorsFile,
  type TensorInfo,
} from './formats/safetensors-file.ts';
