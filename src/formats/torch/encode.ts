/** Plain data as the archive that `torch.save` would have written. */
import type { OptimizerStateDict, StateTensor, StateValue } from '../../core/dtype.ts';
import { isTensor } from '../../core/state-dict.ts';
import { placeOf } from '../place.ts';
import { brief, quoted } from '../quote.ts';
import type { ZipInput } from '../zip-write.ts';
import {
  type Context,
  countOf,
  countsInInts,
  INTEGER,
  isCounter,
  isFloatKey,
  isOptimizer,
  isScheduler,
  isTupleKey,
} from './optimizer-dict.ts';
import { PickleWriter } from './pickle-write.ts';
import { bytesOf, swapBytes } from './tensors.ts';
import { LITTLE_ENDIAN, NUMBERS, TORCH_TYPES, type TorchType } from './torch-types.ts';
import { DEEPEST } from './unfold.ts';

/** The arrays that hold each format; formats without an own one are bytes. */
const ARRAYS: Readonly<Record<string, readonly string[]>> = {
  float32: ['Float32Array'],
  float64: ['Float64Array'],
  float16: ['Uint16Array', 'Float16Array'],
  bfloat16: ['Uint16Array'],
  int64: ['BigInt64Array'],
};
const BYTES = ['Uint8Array'];

class Encoder {
  readonly #writer = new PickleWriter();
  readonly #payloads: Uint8Array[] = [];
  /** The way from the top, for messages and as a bound. */
  readonly #keys: (string | number)[] = [];

  #place(): string {
    return `encodeTorch: ${placeOf('stateDict', this.#keys)}`;
  }

  /** Writes a part that stands under `key`. */
  #under(key: string | number, write: () => void): void {
    this.#keys.push(key);
    if (this.#keys.length > DEEPEST)
      throw new RangeError(`${this.#place()} is nested more than ${DEEPEST} deep, or contains itself`);
    write();
    this.#keys.pop();
  }

  /** `key`: the name that the value, or the list that it is in, stands under. */
  value(value: StateValue, key: string, context: Context): void {
    const writer = this.#writer;
    if (value === null) writer.none();
    else if (typeof value === 'boolean') writer.bool(value);
    else if (typeof value === 'string') this.#limited(() => writer.string(value));
    else if (typeof value === 'bigint') this.#limited(() => writer.int(value));
    else if (typeof value === 'number') {
      // A whole number beyond 2^53 was no int when it was read.
      if (isFloatKey(key, context) || !Number.isSafeInteger(value) || Object.is(value, -0)) writer.float(value);
      else writer.int(value);
    } else if (isTensor(value)) this.#tensor(value);
    else if (Array.isArray(value)) this.#array(value, key, context);
    else if (Object.prototype.toString.call(value) === '[object Uint8Array]')
      this.#limited(() => writer.bytes(value as Uint8Array));
    else if (typeof value === 'object' && Object.prototype.toString.call(value) === '[object Object]') {
      if (isOptimizer(value)) this.optimizer(value, undefined);
      else this.#dict(value as { [key: string]: StateValue }, key, context);
    } else throw new TypeError(`${this.#place()} must be plain data, got ${brief(value)}`);
  }

  /** Runs a write that refuses what is too long, and says where. */
  #limited(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new RangeError(`${this.#place()} ${error.message}`);
    }
  }

  #array(items: readonly StateValue[], key: string, context: Context): void {
    const write = (i: number): void =>
      this.#under(i, () => {
        if (!Object.hasOwn(items, i)) throw new TypeError(`${this.#place()} is a hole; fill it, with null for None`);
        this.value(items[i]!, key, context);
      });
    if (!isTupleKey(key)) this.#writer.list(items.length, write);
    else {
      this.#writer.put(0x28);
      for (let i = 0; i < items.length; i++) write(i);
      this.#writer.put(0x74);
    }
  }

  #dict(dict: { [key: string]: StateValue }, key: string, outer: Context): void {
    const context = isScheduler(dict) ? 'scheduler' : outer;
    const counter = isCounter(key, context, dict);
    if (counter) this.#writer.global('collections', 'Counter');
    this.#entries(
      Object.entries(dict),
      (name) => counter && INTEGER.test(name),
      (item, name) => this.value(item, name, context),
    );
    if (counter) this.#writer.put(0x85, 0x52);
  }

  /** A dict's items; a key is an int where `isInt` says so. */
  #entries<T>(
    entries: readonly (readonly [string, T])[],
    isInt: (name: string) => boolean,
    write: (item: T, name: string) => void,
  ): void {
    const writer = this.#writer;
    writer.dict(entries.length, (i) => {
      const [name, item] = entries[i]!;
      this.#under(name, () => {
        if (isInt(name)) writer.int(Number(name));
        else this.#limited(() => writer.string(name));
        write(item, name);
      });
    });
  }

  #tensor({ dtype, shape, data }: StateTensor): void {
    const type = TORCH_TYPES.get(dtype);
    if (type === undefined || type.kind === 'quantized')
      throw new RangeError(
        `${this.#place()}: dtype must be one of PyTorch's, such as "float32", "int64" or "float8_e4m3fn", got ` +
          `${brief(dtype)}`,
      );
    const tag = data[Symbol.toStringTag] as string;
    const sizes = Array.isArray(shape) ? (shape as readonly unknown[]) : [Number.NaN];
    const whole = sizes.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
    const length = whole ? (sizes as number[]).reduce((a, b) => a * b, 1) : Number.NaN;
    const known = Object.hasOwn(ARRAYS, dtype) ? ARRAYS[dtype]! : BYTES;
    if (!known.includes(tag)) throw new TypeError(`${this.#place()}: ${dtype} needs ${known[0]}, got ${brief(data)}`);
    if (data.byteLength !== length * type.size)
      throw new RangeError(`${this.#place()}: shape ${brief(shape)} of ${dtype} does not fit ${brief(data)}`);
    this.#writer.tensor(type, String(this.#payloads.length), length, shape);
    this.#payloads.push(littleEndian(data, type));
  }

  /** A float tensor without dimensions. */
  #scalar(value: number, wide: boolean): void {
    const data = wide ? Float64Array.of(value) : Float32Array.of(value);
    this.#tensor({ dtype: wide ? 'float64' : 'float32', shape: [], data });
  }

  /** An optimizer's dict; `names` in place of its indices. */
  optimizer(dict: OptimizerStateDict, names: readonly string[] | undefined): void {
    const ids: readonly (number | string)[] = dict.param_groups.flatMap((group) => [...group.params]);
    if (names !== undefined) {
      const texts = names.every((name) => typeof name === 'string');
      if (!texts || names.length !== ids.length || new Set(names).size !== names.length) {
        throw new RangeError(
          `encodeTorch: parameterNames must be ${ids.length} different strings, one for each parameter; got ` +
            `${brief(names)}`,
        );
      }
    }
    // What stands for each id: an int where the groups have a number.
    const renamed = new Map<string, number | string>(ids.map((id, i) => [String(id), names?.[i] ?? id]));
    const ints = countsInInts(dict);
    const state = Object.entries(dict.state).map(([id, entry]) => {
      const to = renamed.get(id);
      if (to === undefined && INTEGER.test(id)) {
        throw new RangeError(`${this.#place()}: state has an entry ${quoted(id)}, but no group lists that parameter`);
      }
      return { name: String(to ?? id), int: typeof to === 'number', entry };
    });
    this.#entries(
      Object.entries(dict),
      () => false,
      (value, key) => {
        if (key === 'state') {
          this.#writer.dict(state.length, (i) => {
            const { name, int, entry } = state[i]!;
            this.#under(name, () => {
              if (int) this.#writer.int(Number(name));
              else this.#writer.string(name);
              this.#entry(entry, ints);
            });
          });
        } else if (key === 'param_groups') {
          const groups = dict.param_groups.map(({ params, param_names, ...options }) => ({
            ...options,
            params: params.map((id) => renamed.get(String(id))!),
            // Where names stand for the parameters, torch.distributed knows no second list of them.
            ...(names === undefined && param_names !== undefined && { param_names }),
          }));
          this.#array(groups as StateValue[], key, 'group');
        } else this.value(value as StateValue, key, 'group');
      },
    );
  }

  /** A parameter's state, with step and RMS as PyTorch writes them. */
  #entry(entry: StateValue, ints: boolean): void {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry) || isTensor(entry) || isBytes(entry)) {
      this.value(entry, '', 'group');
      return;
    }
    const wide = Object.values(entry).some(
      (value) => isTensor(value) && value.dtype === 'float64' && value.shape.length > 0,
    );
    this.#entries(
      Object.entries(entry),
      () => false,
      (value, key) => {
        const count = countOf(value);
        // In a tensor of float32 as long as that holds the count: up to 2^24, and then every other
        // one, every fourth ...
        if (key === 'step' && typeof value === 'number' && !ints)
          this.#scalar(value, !Object.is(Math.fround(value), value));
        else if (key === 'step' && count !== undefined && ints) this.#writer.int(count);
        else if (key === 'RMS' && typeof value === 'number') this.#scalar(value, wide);
        else this.value(value, key, 'group');
      },
    );
  }

  file(write: () => void): ZipInput[] {
    this.#writer.put(0x80, 2);
    write();
    this.#writer.put(0x2e);
    const text = (content: string): Uint8Array => new TextEncoder().encode(content);
    return [
      { name: 'archive/data.pkl', bytes: this.#writer.finish() },
      { name: 'archive/byteorder', bytes: text('little') },
      ...this.#payloads.map((bytes, i) => ({ name: `archive/data/${i}`, bytes })),
      { name: 'archive/version', bytes: text('3\n') },
    ];
  }
}

function isBytes(value: object): value is Uint8Array {
  return ArrayBuffer.isView(value);
}

function littleEndian(data: StateTensor['data'], { name, part }: TorchType): Uint8Array {
  const bytes = bytesOf(data);
  if (LITTLE_ENDIAN || part === 1 || !NUMBERS.has(name)) return bytes;
  const swapped = new Uint8Array(bytes);
  swapBytes(swapped, part);
  return swapped;
}

/**
 * The entries of the archive for some plain data. The contents of tensors are the arrays' own
 * memory.
 */
export function encodeEntries(
  stateDict: OptimizerStateDict | Record<string, StateValue>,
  parameterNames: readonly string[] | undefined,
): ZipInput[] {
  const encoder = new Encoder();
  return encoder.file(() => {
    if (parameterNames !== undefined && isOptimizer(stateDict)) encoder.optimizer(stateDict, parameterNames);
    else encoder.value(stateDict as StateValue, '', 'data');
  });
}
