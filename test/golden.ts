/**
 * Reads the recorded trajectories in test/vectors/optimizers (what each field is, says
 * make_goldens.py's header).
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { DType, NumericArray } from 'tensorless';
import { Adafactor, AdamW, fromBfloat16, fromFloat16, Lion, SGD } from 'tensorless';

export interface GoldenArray {
  dtype: DType;
  shape: number[];
  data: string;
}

export interface Golden {
  optimizer: string;
  options: Record<string, unknown>;
  params: { name: string; array: GoldenArray }[];
  grads: (GoldenArray | null)[][];
  after: GoldenArray[][];
  checked: number[];
  state_dict: {
    state: Record<string, Record<string, GoldenArray | number>>;
    param_groups: Record<string, unknown>[];
  };
  exact?: GoldenArray[];
  rms?: (number | null)[][];
  lr?: (number | null)[][];
}

/** The classes here by the end of the recorded one's name. */
export const goldenClasses = { Adafactor, AdamW, Lion, SGD };

export function kindOf({ optimizer }: Golden): keyof typeof goldenClasses {
  return optimizer.split('.').at(-1) as keyof typeof goldenClasses;
}

const folder = new URL('vectors/optimizers/', import.meta.url);

/** Names of all recorded cases. */
export const goldenNames: string[] = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -5));

export function readGolden(name: string): Golden {
  return JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as Golden;
}

/** The array as it was recorded: bits in a Uint16Array for the 16-bit types. */
export function arrayOf(golden: GoldenArray): NumericArray {
  const bytes = new Uint8Array(Buffer.from(golden.data, 'base64'));
  if (golden.dtype === 'float32') return new Float32Array(bytes.buffer);
  if (golden.dtype === 'float64') return new Float64Array(bytes.buffer);
  return new Uint16Array(bytes.buffer);
}

/** The numbers of an array of any format. */
export function numbersOf(array: NumericArray, dtype: DType): Float32Array | Float64Array {
  if (!(array instanceof Uint16Array)) return array;
  return dtype === 'float16' ? fromFloat16(array) : fromBfloat16(array);
}

/** Python keyword names to this library's: `weight_decay` to `weightDecay`. */
export function camelCase(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([key, value]) => [
      key.replaceAll(/_([a-z])/g, (_, c: string) => c.toUpperCase()),
      value,
    ]),
  );
}
