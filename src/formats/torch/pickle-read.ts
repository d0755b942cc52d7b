/**
 * The pickles in `.pt` files: no unpickler, but a reader of the opcodes and the few names that data
 * is written with. A GLOBAL pushes one of a fixed set of constants, REDUCE makes one of a fixed set
 * of values, everything else is refused by name; so nothing can be executed. The opcodes are those
 * that torch.load(weights_only=True) reads, and those that Python writes for the same values under
 * protocols 3 to 5 (`pickletools` describes them).
 */
import { CheckpointError } from '../error.ts';
import { quoted } from '../quote.ts';
import { call, globalOf, keyText, storageOf, viewOfStorage } from './pickle-calls.ts';
import { LONGEST_NAME, PickleInput } from './pickle-input.ts';
import {
  type Budget,
  COST,
  describe,
  isDict,
  type PyDict,
  PyGlobal,
  PyList,
  type PyStorage,
  PyTensor,
  type PyValue,
  set,
} from './pickle-values.ts';

/** As many keys as V8 keeps layouts for, and as many of a dict as have a part in its layout. */
const LAYOUTS = 1536;
const SHARED_KEYS = 8;

/** What a pickle describes. */
export interface Pickle {
  readonly value: PyValue;
  /** Containers that stand in more than one place. */
  readonly shared: ReadonlySet<PyValue>;
  /** Dicts with more in them than texts and numbers. */
  readonly deep: ReadonlySet<PyValue>;
  /** All storages that it names, by key. */
  readonly storages: ReadonlyMap<string, PyStorage>;
  /** Where the pickle ends. */
  readonly end: number;
}

class Reader {
  readonly #input: PickleInput;
  readonly #budget: Budget;
  /** Whether ids of storages are those of the format before zip. */
  readonly #legacy: boolean;
  /** Values and marks may wait for their containers, but not out of all proportion. */
  readonly #deepest: number;
  readonly #stack: PyValue[] = [];
  /** Heights of the stack at the marks. */
  readonly #marks: number[] = [];
  /** Memo entries in order; those out of order. */
  readonly #memo: PyValue[] = [];
  readonly #oddMemo = new Map<number, PyValue>();
  #memoized = 0;
  readonly #shared = new Set<PyValue>();
  readonly #deep = new Set<PyValue>();
  /** The first keys of dicts. */
  readonly #layouts = new Set<string>();
  readonly #globals = new Map<string, PyGlobal>();
  readonly #storages = new Map<string, PyStorage>();
  readonly #add = (dict: PyDict, key: PyValue, value: PyValue): void => this.#setItem(dict, key, value);

  constructor(bytes: Uint8Array, start: number, budget: Budget, legacy: boolean) {
    this.#input = new PickleInput(bytes, start, budget);
    this.#budget = budget;
    this.#legacy = legacy;
    this.#deepest = (1 << 20) + (bytes.length >> 1);
  }

  read(): Pickle {
    const input = this.#input;
    if (input.next() !== 0x80) this.#fail('the pickle does not begin with its protocol');
    this.#protocol();
    for (;;) {
      const opcode = input.next();
      if (opcode === 0x2e) break;
      this.#execute(opcode);
      if (this.#stack.length > this.#deepest) this.#fail('values wait for a container out of all proportion');
    }
    const value = this.#pop();
    const left = this.#stack.length + this.#marks.length;
    if (left > 0) this.#fail(`${left} values are left over`);
    return { value, shared: this.#shared, deep: this.#deep, storages: this.#storages, end: input.at };
  }

  /** The stack's floor: what lies below the last mark is out of reach. */
  #floor(): number {
    return this.#marks.length === 0 ? 0 : this.#marks[this.#marks.length - 1]!;
  }

  #fail(what: string): never {
    this.#input.fail(what);
  }

  #spend(bytes: number): void {
    this.#input.spend(bytes);
  }

  #protocol(): void {
    if (this.#input.u8() > 5) this.#fail('the protocol is later than 5');
  }

  #pop(): PyValue {
    if (this.#stack.length === 0) this.#fail('the stack is empty');
    if (this.#stack.length <= this.#floor()) this.#fail('a mark stands where a value is expected');
    return this.#stack.pop()!;
  }

  #top(): PyValue {
    if (this.#stack.length <= this.#floor()) this.#fail('there is no value on the stack');
    return this.#stack[this.#stack.length - 1]!;
  }

  /** The values since the last mark. */
  #popToMark(): PyValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) this.#fail('there is no mark');
    return this.#stack.splice(mark);
  }

  #tuple(items: PyValue[]): void {
    this.#spend(COST.list + COST.slot * items.length);
    this.#stack.push(items);
  }

  #execute(opcode: number): void {
    const stack = this.#stack;
    const input = this.#input;
    switch (opcode) {
      case 0x80: // PROTO
        this.#protocol();
        return;
      case 0x95: // FRAME: how much to read ahead
        input.take(8);
        return;
      case 0x7d: // EMPTY_DICT
        this.#spend(COST.dict);
        stack.push({});
        return;
      case 0x5d: // EMPTY_LIST
        this.#spend(COST.list);
        stack.push(new PyList());
        return;
      case 0x29: // EMPTY_TUPLE
        stack.push(EMPTY);
        return;
      case 0x8f: // EMPTY_SET
        this.#spend(COST.list);
        stack.push(new PyList());
        return;
      case 0x28: // MARK
        if (this.#marks.length > this.#deepest) this.#fail('marks out of all proportion');
        this.#marks.push(stack.length);
        return;
      case 0x74: // TUPLE
        this.#tuple(this.#popToMark());
        return;
      case 0x85: // TUPLE1 ... TUPLE3
      case 0x86:
      case 0x87: {
        const count = opcode - 0x84;
        if (stack.length < this.#floor() + count) this.#fail('the stack is empty');
        this.#tuple(stack.splice(stack.length - count));
        return;
      }
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        return;
      case 0x65: // APPENDS
      case 0x90: // ADDITEMS, to a set
        this.#append(this.#popToMark());
        return;
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        this.#setItems([this.#pop(), value]);
        return;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#popToMark());
        return;
      case 0x4e: // NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE, NEWFALSE
      case 0x89:
        stack.push(opcode === 0x88);
        return;
      case 0x4b: // BININT1
        stack.push(input.u8());
        return;
      case 0x4d: // BININT2
        stack.push(input.u16());
        return;
      case 0x4a: // BININT
        stack.push(input.i32());
        return;
      case 0x8a: // LONG1
        stack.push(input.long(input.u8()));
        return;
      case 0x47: // BINFLOAT
        this.#spend(16);
        stack.push(input.f64());
        return;
      case 0x58: // BINUNICODE
        stack.push(input.text(input.u32()));
        return;
      case 0x55: // SHORT_BINSTRING: Python 2's text
      case 0x8c: // SHORT_BINUNICODE
        stack.push(input.text(input.u8()));
        return;
      case 0x8d: // BINUNICODE8
        stack.push(input.text(input.u64()));
        return;
      case 0x43: // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
        stack.push(input.bytes(input.u8()));
        return;
      case 0x42:
        stack.push(input.bytes(input.u32()));
        return;
      case 0x8e:
      case 0x96:
        stack.push(input.bytes(input.u64()));
        return;
      case 0x71: // BINPUT
        this.#memoize(input.u8());
        return;
      case 0x72: // LONG_BINPUT
        this.#memoize(input.u32());
        return;
      case 0x94: // MEMOIZE
        this.#memoize(this.#memoized);
        return;
      case 0x68: // BINGET
        this.#recall(input.u8());
        return;
      case 0x6a: // LONG_BINGET
        this.#recall(input.u32());
        return;
      case 0x63: // GLOBAL
        this.#global(input.line(), input.line());
        return;
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof name !== 'string' || typeof module !== 'string') this.#fail('a global has no name');
        if (name.length > LONGEST_NAME || module.length > LONGEST_NAME) this.#fail('a name is not ended');
        this.#global(module, name);
        return;
      }
      case 0x52: // REDUCE
        this.#reduce();
        return;
      case 0x81: // NEWOBJ
        this.#reduce();
        return;
      case 0x62: // BUILD
        this.#build();
        return;
      case 0x51: // BINPERSID
        this.#persistent();
        return;
      default: {
        const letter = opcode > 32 && opcode < 127 ? ` (${String.fromCharCode(opcode)})` : '';
        this.#fail(
          `opcode 0x${opcode.toString(16).padStart(2, '0')}${letter} is not one of those that data is written ` +
            `with; nothing is executed`,
        );
      }
    }
  }

  #append(values: PyValue[]): void {
    const list = this.#top();
    if (!(list instanceof PyList)) this.#fail('values are appended to something that is no list');
    this.#spend(16 + COST.slot * values.length);
    if (list.items === undefined) list.items = values;
    else for (const value of values) list.items.push(value);
  }

  #setItems(pairs: readonly PyValue[]): void {
    const dict = this.#top();
    if (!isDict(dict)) this.#fail('items are set on something that is no dict');
    if (pairs.length % 2 !== 0) this.#fail('a key has no value');
    // V8 shares the layout of dicts with the same keys, up to some two thousand layouts; each
    // further one has a table.
    for (let i = 0; i < pairs.length && i < 2 * SHARED_KEYS; i += 2) {
      const key = pairs[i]!;
      if (typeof key !== 'string' || this.#layouts.has(key)) continue;
      if (this.#layouts.size < LAYOUTS) this.#layouts.add(key);
      else this.#spend(COST.table);
    }
    for (let i = 0; i < pairs.length; i += 2) this.#setItem(dict, pairs[i]!, pairs[i + 1]!);
  }

  #setItem(dict: PyDict, key: PyValue, value: PyValue): void {
    let name: string;
    if (typeof key === 'string') name = key;
    else {
      name = this.#guarded(() => keyText(key));
      this.#spend(2 * name.length);
    }
    if (Object.hasOwn(dict, name))
      this.#fail(`the key ${quoted(name)} is there twice, or as int and as str, which are one key here`);
    this.#spend(set(dict, name, value));
    if (typeof value === 'object' && value !== null && !this.#deep.has(dict)) this.#deep.add(dict);
  }

  #memoize(index: number): void {
    const value = this.#top();
    this.#memoized++;
    if (index === this.#memo.length) this.#memo.push(value);
    else if (index < this.#memo.length) this.#memo[index] = value;
    else {
      this.#spend(COST.table);
      this.#oddMemo.set(index, value);
    }
  }

  #recall(index: number): void {
    const value = this.#memo[index] ?? this.#oddMemo.get(index) ?? this.#memo[index];
    if (value === undefined) this.#fail(`memo ${index} was never set`);
    if (typeof value === 'object' && value !== null) this.#shared.add(value);
    this.#stack.push(value);
  }

  #global(module: string, name: string): void {
    const full = `${module} ${name}`;
    let found = this.#globals.get(full);
    if (found === undefined) {
      found = this.#guarded(() => globalOf(module, name));
      this.#globals.set(full, found);
    }
    this.#stack.push(found);
  }

  #reduce(): void {
    const args = this.#pop();
    const callable = this.#pop();
    if (!(callable instanceof PyGlobal) || !Array.isArray(args)) this.#fail('a call needs a global and a tuple');
    this.#spend(callable.name.startsWith('torch._utils._rebuild_tensor') ? COST.tensor : COST.dict);
    this.#stack.push(this.#guarded(() => call(callable, args as readonly PyValue[], this.#budget, this.#add)));
  }

  /**
   * State beside the value: attributes of an OrderedDict (`_metadata` of a model) or a parameter.
   * Not data.
   */
  #build(): void {
    const state = this.#pop();
    const target = this.#top();
    if (!isDict(target) && !(target instanceof PyTensor))
      this.#fail(`a state is set on ${describe(target)}, which has none`);
    if (!isDict(state)) this.#fail(`the state of ${describe(target)} must be a dict, got ${describe(state)}`);
  }

  #persistent(): void {
    const id = this.#pop();
    const storage = this.#guarded(() => storageOf(id, this.#legacy));
    const known = this.#storages.get(storage.key);
    const same = known !== undefined && known.type === storage.type && known.count === storage.count;
    // Memory without bytes has no format: a complex tensor and its real part may share it.
    const empty = known?.count === 0 && storage.count === 0;
    if (known !== undefined && !same && !empty) this.#fail(`storage ${storage.key} is described in two ways`);
    if (!same) this.#spend(COST.tensor / 2);
    if (known === undefined) this.#storages.set(storage.key, storage);
    const one = same ? known : storage;
    this.#stack.push(this.#legacy ? this.#guarded(() => viewOfStorage(one, id)) : one);
  }

  /** Runs a part that does not know where it is. */
  #guarded<T>(part: () => T): T {
    try {
      return part();
    } catch (error) {
      if (error instanceof CheckpointError && !error.message.startsWith('pickle, ')) this.#fail(error.message);
      throw error;
    }
  }
}

const EMPTY: readonly PyValue[] = Object.freeze([]);

/**
 * The value of the pickle that begins at `start`.
 *
 * @throws CheckpointError that names the byte.
 */
export function readPickle(
  bytes: Uint8Array,
  budget: Budget,
  { start = 0, legacy = false }: { start?: number; legacy?: boolean } = {},
): Pickle {
  return new Reader(bytes, start, budget, legacy).read();
}
