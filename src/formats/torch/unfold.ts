/**
 * From what a pickle describes to plain data: containers that stand in several places become
 * several, tensors get arrays.
 */
import type { StateTensor, StateValue } from '../../core/dtype.ts';
import { CheckpointError } from '../error.ts';
import { placeOf } from '../place.ts';
import { wholeStorage } from './pickle-calls.ts';
import type { Pickle } from './pickle-read.ts';
import {
  type Budget,
  COST,
  isDict,
  PyComplex,
  type PyDict,
  PyGlobal,
  PyList,
  PyStorage,
  PyTensor,
  type PyValue,
  set,
} from './pickle-values.ts';
import { complexTensor, type Destination, lengthOf, resultSize } from './tensors.ts';
import { WIDENED } from './torch-types.ts';

/**
 * Deeper nesting is refused; real states have ten levels at most. The recursion below is no deeper.
 */
export const DEEPEST = 64;

/** Plain data whose tensors are still empty, and where their elements come from, by storage. */
export interface Unfolded {
  readonly value: StateValue;
  readonly destinations: ReadonlyMap<string, Destination[]>;
}

/** Stands in until the storage is read: memory that is filled at once is still in the cache. */
const NOTHING = new Uint8Array(0);

const REPEATED = ': shared references or repeated elements unfold to many times the file’s size';

class Unfolder {
  readonly destinations = new Map<string, Destination[]>();
  readonly #pickle: Pickle;
  readonly #budget: Budget;
  readonly #keys: (string | number)[] = [];
  /** Containers on the way from the top: one that is met again contains itself. */
  readonly #path: PyValue[] = [];

  constructor(pickle: Pickle, budget: Budget) {
    this.#pickle = pickle;
    this.#budget = budget;
  }

  #fail(what: string): never {
    throw new CheckpointError(`${placeOf('the file', this.#keys)}${what}`);
  }

  #copy(bytes: number): void {
    if (!this.#budget.copy(bytes)) this.#fail(REPEATED);
  }

  /** `copying`: this value can be reached in another way too, and must stay as it is. */
  value(value: PyValue, copying: boolean): StateValue {
    if (value === null || typeof value !== 'object') return value;
    if (value instanceof PyTensor) return this.#tensor(value);
    if (value instanceof PyStorage) return this.#tensor(wholeStorage(value));
    if (value instanceof PyComplex) return complexTensor(value.re, value.im);
    if (value instanceof PyGlobal) {
      if (value.role === 'dtype') return value.name;
      this.#fail(` is ${value.name}, which is no data`);
    }
    const again = copying || this.#pickle.shared.has(value);
    if (ArrayBuffer.isView(value)) {
      if (!again) return value as Uint8Array;
      this.#copy((value as Uint8Array).length + 200);
      return (value as Uint8Array).slice();
    }
    if (this.#path.includes(value)) this.#fail(' contains itself');
    if (this.#path.length >= DEEPEST) this.#fail(` is nested more than ${DEEPEST} deep`);
    this.#path.push(value);
    let result: StateValue;
    if (value instanceof PyList) result = this.#array(value.items ?? [], again);
    else if (isDict(value)) result = this.#dict(value, again);
    else result = this.#array(value as readonly PyValue[], again);
    this.#path.pop();
    return result;
  }

  #array(items: readonly PyValue[], copying: boolean): StateValue[] {
    if (copying) this.#copy(COST.list + COST.slot * items.length);
    const result = (copying || Object.isFrozen(items) ? items.slice() : items) as (PyValue | StateValue)[];
    const keys = this.#keys;
    for (let i = 0; i < result.length; i++) {
      const item = result[i]!;
      if (item === null || typeof item !== 'object') continue;
      keys.push(i);
      result[i] = this.value(item as PyValue, copying);
      keys.pop();
    }
    return result as StateValue[];
  }

  #dict(dict: PyDict, copying: boolean): StateValue {
    // Listing the keys of a large dict takes as long as reading it.
    if (!copying && !this.#pickle.deep.has(dict)) return dict as StateValue;
    const result: { [key: string]: PyValue | StateValue } = copying ? {} : dict;
    const keys = this.#keys;
    const names = Object.keys(dict);
    if (copying) this.#copy(COST.dict);
    for (const name of names) {
      const item = dict[name]!;
      const plain = item === null || typeof item !== 'object';
      if (plain && !copying) continue;
      keys.push(name);
      const cost = set(result, name, plain ? item : this.value(item, copying));
      if (copying) this.#copy(cost);
      keys.pop();
    }
    return result as StateValue;
  }

  #tensor(source: PyTensor): StateTensor {
    const { storage, type, shape } = source;
    if (type.kind === 'quantized') this.#fail(` is a storage of ${type.name}, which has no scale`);
    const length = lengthOf(shape);
    const size = resultSize(type);
    // What a tensor has beyond its storage is repeated; so is what another tensor has had of it.
    const known = this.destinations.get(storage.key);
    const own = storage.count * (storage.type?.size ?? 1) * (size / type.size);
    // The first place of a tensor has been paid for where it was made.
    if (this.#pickle.shared.has(source)) this.#copy(COST.tensor);
    if (known !== undefined || length * size > own) {
      if (!this.#budget.repeat(length * size)) this.#fail(REPEATED);
    } else if (!this.#budget.elements(length * size)) this.#fail(': its elements take too much memory');
    const state: StateTensor = {
      dtype: WIDENED.has(type.name) ? 'int64' : type.name,
      shape: [...shape],
      data: NOTHING,
    };
    if (known === undefined) this.destinations.set(storage.key, [{ state, source }]);
    else known.push({ state, source });
    return state;
  }
}

/** Plain data of its own. */
export function unfold(pickle: Pickle, budget: Budget): Unfolded {
  const unfolder = new Unfolder(pickle, budget);
  const result = unfolder.value(pickle.value, false);
  return { value: result, destinations: unfolder.destinations };
}
