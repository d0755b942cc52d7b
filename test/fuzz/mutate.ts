/** Damaged and hostile files of both formats, made from real ones by a seeded generator. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AdamW, GradientAccumulator, Parameter } from 'tensorless';
import { CheckpointError, decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { decodeSafetensors } from 'tensorless/safetensors';
import { decodeTorch } from 'tensorless/torch';
import { damage, type Random } from './damage.ts';
import { mutatedHeader, mutatedState } from './safetensors.ts';
import { torchFile } from './torch-files.ts';

/** mulberry32 (Tommy Ettinger 2017, public domain). */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

const folder = fileURLToPath(new URL('../vectors/checkpoints/', import.meta.url));
const real = (ending: string): Uint8Array[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => new Uint8Array(readFileSync(`${folder}${name}`)));

function trainingState(): Uint8Array {
  const weight = new Parameter(new Float32Array(6), [2, 3], { name: 'weight' });
  weight.grad = new Float32Array(6).fill(1);
  const optimizer = new AdamW([weight]);
  optimizer.step();
  const accumulator = new GradientAccumulator([weight]);
  accumulator.add();
  return encodeTrainingState({
    parameters: [weight],
    optimizer,
    accumulator,
    extra: { epoch: 3, list: [-0, 'x', {}] },
  });
}

export const safetensorsFiles = [...real('.safetensors'), trainingState()];

/** A safetensors file with a damaged or made-up header whose length is right. */
function reheader(source: Uint8Array, random: Random): Uint8Array {
  const length = Number(new DataView(source.buffer, source.byteOffset).getBigUint64(0, true));
  let header: Uint8Array = source.slice(8, 8 + length);
  switch (random(6)) {
    case 0:
      header = damage(header, random);
      break;
    case 4:
    case 5:
      header = new TextEncoder().encode(mutatedHeader(new TextDecoder().decode(header), random));
      break;
    case 1: {
      const text = new TextDecoder().decode(header);
      const swaps: [RegExp, string][] = [
        [/\[\d+/, '[99999999999'],
        [/F32/, 'F64'],
        [/"shape":\[/, '"shape":[4294967296,4294967296,'],
        [/"data_offsets":\[0/, '"data_offsets":[8'],
        [/:\[/, ':[[['],
        [/"dtype"/, '"__proto__"'],
        [/(".*?"):/, '$1:1,$1:'],
      ];
      const [pattern, by] = swaps[random(swaps.length)]!;
      header = new TextEncoder().encode(text.replace(pattern, by));
      break;
    }
    case 2:
      header = new TextEncoder().encode(`{"__metadata__":{"tensorless":${JSON.stringify('['.repeat(random(4000)))}}}`);
      break;
    default:
      header = new TextEncoder().encode(
        [
          '{"a":'.repeat(random(3000)),
          '['.repeat(random(5000)),
          `{"__proto__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`,
        ][random(3)]!,
      );
  }
  const bytes = new Uint8Array(8 + header.length + source.length - 8 - length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  bytes.set(source.subarray(8 + length), 8 + header.length);
  return bytes;
}

export interface Trial {
  readonly bytes: Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

/** File number `index` of a seed: each can be made again alone. */
export function trial(seed: number, index: number): Trial {
  const random = generator(Math.imul(seed, 0x9e3779b1) ^ index);
  if (index % 2 === 0) {
    return { bytes: torchFile(random), decode: (bytes) => decodeTorch(bytes) };
  }
  const source = safetensorsFiles[random(safetensorsFiles.length)]!;
  const kind = random(3);
  const bytes =
    kind === 0 ? damage(source, random) : kind === 1 ? reheader(source, random) : mutatedState(source, random);
  return {
    bytes,
    decode(file) {
      decodeSafetensors(file);
      const weight = new Parameter(new Float32Array(6), [2, 3], { name: 'weight' });
      const optimizer = new AdamW([weight]);
      const accumulator = new GradientAccumulator([weight]);
      return decodeTrainingState(file, { parameters: [weight], optimizer, accumulator });
    },
  };
}

/** Buffers that a reader may ask for, beside a constant for its own tables. */
const MOST_TIMES = 40;
const MOST_CONSTANT = 1 << 22;
const SLOWEST = 100;

/**
 * What is wrong with how a file was handled; undefined when all is well. `slow` collects times over
 * the limit, to be looked at again.
 */
export function judge({ bytes, decode }: Trial): { problem?: string; milliseconds: number; refused: boolean } {
  const before = process.memoryUsage().arrayBuffers;
  const begun = performance.now();
  let refused = false;
  let problem: string | undefined;
  try {
    decode(bytes);
  } catch (error) {
    refused = true;
    if (!(error instanceof CheckpointError)) problem = `${(error as Error).name}: ${(error as Error).message}`;
    else if (error.message.length < 10) problem = `says nothing: "${error.message}"`;
    else if (error.message.length > 300) problem = `says too much: ${error.message.length} characters`;
  }
  const milliseconds = performance.now() - begun;
  const allocated = process.memoryUsage().arrayBuffers - before;
  if (allocated > MOST_TIMES * bytes.length + MOST_CONSTANT)
    problem = `${allocated} bytes allocated for a file of ${bytes.length}`;
  if (Object.keys(Object.prototype).length > 0 || ({} as { polluted?: unknown }).polluted !== undefined)
    problem = 'a prototype was polluted';
  return { ...(problem !== undefined && { problem }), milliseconds, refused };
}

export { SLOWEST };
