/**
 * The names that a pickle may use, and what calling them gives: the whole of what
 * torch.load(weights_only=True) allows for data. Nothing of the file is executed; each call is one
 * of the cases below.
 */
import { CheckpointError } from '../error.ts';
import { quoted } from '../quote.ts';
import {
  type Budget,
  COST,
  describe,
  isDict,
  PyComplex,
  type PyDict,
  PyGlobal,
  PyList,
  PyStorage,
  PyTensor,
  type PyValue,
} from './pickle-values.ts';
import { STORAGE_TYPES, TORCH_TYPES } from './torch-types.ts';

/** Thrown with what is wrong; the reader adds where. */
function fail(what: string): never {
  throw new CheckpointError(what);
}

const CALLS: ReadonlySet<string> = new Set([
  'collections.OrderedDict',
  'collections.Counter',
  'builtins.set',
  'builtins.bytearray',
  'builtins.complex',
  '_codecs.encode',
  'torch.Size',
  'torch.device',
  'torch.Tensor',
  'torch.serialization._get_layout',
  'torch.nn.parameter.Parameter',
  'torch._utils._rebuild_tensor',
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_tensor_v3',
  'torch._utils._rebuild_parameter',
  'torch._utils._rebuild_parameter_with_state',
  'torch._tensor._rebuild_from_type_v2',
]);

/** Names that PyTorch reads and that have no place in plain data, with what to do. */
const REFUSED: Readonly<Record<string, string>> = {
  'torch._utils._rebuild_sparse_tensor': 'a sparse tensor; save tensor.to_dense()',
  'torch._utils._rebuild_qtensor': 'a quantized tensor; save tensor.int_repr() with its scale, or tensor.dequantize()',
  'torch._utils._rebuild_nested_tensor': 'a nested tensor; save its parts, tensor.unbind()',
  'torch._utils._rebuild_meta_tensor_no_storage': 'a tensor on the meta device, which has no elements',
  'torch._utils._rebuild_wrapper_subclass': 'a tensor of a subclass; save what it wraps',
  'torch._utils._rebuild_device_tensor_from_numpy': 'a tensor of another device; save tensor.cpu()',
  'torch._utils._rebuild_device_tensor_from_cpu_tensor': 'a tensor of another device; save tensor.cpu()',
};

/** The global of this name. @throws CheckpointError for every name that is not on the list. */
export function globalOf(module: string, name: string): PyGlobal {
  // Protocol 2 has Python 2's names.
  const full = `${module === '__builtin__' ? 'builtins' : module}.${name}`;
  if (CALLS.has(full)) return new PyGlobal(full, 'call');
  if (Object.hasOwn(REFUSED, full)) fail(`${full} makes ${REFUSED[full]} instead`);
  if (full === 'torch.storage.UntypedStorage') return new PyGlobal(full, 'untyped');
  if (module === 'torch' || module === 'torch.cuda') {
    const storage = name.endsWith('Storage') ? STORAGE_TYPES.get(name.slice(0, -7)) : undefined;
    if (storage !== undefined) return new PyGlobal(full, 'storage', storage);
    const type = module === 'torch' ? TORCH_TYPES.get(name) : undefined;
    if (type !== undefined) return new PyGlobal(full, 'dtype', type);
  }
  fail(`the global ${quoted(full)} is refused; only plain data and tensors are read, and nothing is executed`);
}

/** A tensor has no more dimensions in PyTorch. */
const HIGHEST_RANK = 64;

function integer(what: string, value: PyValue | undefined): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    fail(`the ${what} must be a non-negative int, got ${describe(value)}`);
  return value;
}

function itemsOf(value: PyValue | undefined): readonly PyValue[] | undefined {
  if (value instanceof PyList) return value.items ?? [];
  return Array.isArray(value) ? (value as readonly PyValue[]) : undefined;
}

function integers(what: string, value: PyValue | undefined): readonly number[] {
  const items = itemsOf(value) ?? fail(`the ${what} of a tensor is no tuple`);
  if (items.length > HIGHEST_RANK) fail(`a tensor has ${items.length} dimensions, more than ${HIGHEST_RANK}`);
  for (const item of items) integer(what, item);
  return items as readonly number[];
}

/** The arguments that all kinds of tensors begin with, checked against the storage. */
function tensor(args: readonly PyValue[], dtype: PyValue | undefined, metadata: PyValue | undefined): PyTensor {
  const [storage, offset, shape, stride] = args;
  if (!(storage instanceof PyStorage)) fail('a tensor has no storage');
  let type = storage.type ?? TORCH_TYPES.get('uint8')!;
  if (dtype !== undefined) {
    if (!(dtype instanceof PyGlobal) || dtype.role !== 'dtype') fail(`a tensor's dtype is ${describe(dtype)}`);
    type = dtype.type!;
  }
  if (type.kind === 'quantized') fail(`a tensor of ${type.name} has no scale; save tensor.int_repr() instead`);
  const sizes = integers('shape', shape);
  const strides = integers('stride', stride);
  const start = integer('offset', offset);
  if (sizes.length !== strides.length) fail('shape and stride of a tensor differ in length');
  // In bytes, since a storage may be of another format.
  const room = Math.floor((storage.count * (storage.type?.size ?? 1)) / type.size);
  const begin = (storage.begin * (storage.type?.size ?? 1)) / type.size;
  let last = start;
  let count = 1;
  for (const [axis, size] of sizes.entries()) {
    count *= size;
    last += (size - 1) * strides[axis]!;
    if (!Number.isSafeInteger(count) || !Number.isSafeInteger(last)) fail('a tensor is larger than any file');
  }
  // One without elements lies nowhere, wherever a slice has left it.
  const empty = count === 0;
  if (!empty && last >= room) fail(`a tensor reaches to element ${last} of a storage with ${room}`);
  let negative = false;
  let conjugate = false;
  if (metadata !== undefined && metadata !== null) {
    if (!isDict(metadata)) fail(`a tensor's metadata is ${describe(metadata)}`);
    negative = flag(metadata, 'neg');
    conjugate = flag(metadata, 'conj');
    const signless = type.kind === 'bool' || type.kind === 'byte';
    if (negative && signless && !empty) fail(`a tensor of ${type.name} cannot be negative`);
    if (conjugate && type.kind !== 'complex') fail(`a tensor of ${type.name} has no conjugate`);
  }
  return new PyTensor(storage, type, begin + start, sizes, strides, negative, conjugate);
}

function flag(metadata: PyDict, key: string): boolean {
  return Object.hasOwn(metadata, key) && metadata[key] === true;
}

/** A storage as a vector of its elements, where it stands as data or has none. */
export function wholeStorage(storage: PyStorage): PyTensor {
  return tensor([storage, 0, [storage.count], [1]], undefined, undefined);
}

/** bytes, which protocol 2 writes as text: `_codecs.encode(text, "latin1")`. */
function encode(args: readonly PyValue[], budget: Budget): Uint8Array {
  const [text, codec] = args;
  if (args.length !== 2 || typeof text !== 'string' || typeof codec !== 'string') fail('bytes are not (text, codec)');
  if (!/^(latin-?1|iso-?8859-?1)$/i.test(codec)) fail(`bytes are written in ${quoted(codec)}, not in latin1`);
  if (!budget.copy(32) || !budget.repeat(text.length + 96))
    fail('bytes are repeated beyond all proportion to the file');
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255) fail('bytes hold a character that is none');
    bytes[i] = code;
  }
  return bytes;
}

/** Pairs as a dict; Python 2 wrote an OrderedDict as a list of them. */
function pairs(value: PyValue | undefined, add: (dict: PyDict, key: PyValue, value: PyValue) => void): PyDict {
  if (isDict(value)) return value;
  const dict: PyDict = {};
  for (const pair of itemsOf(value) ?? fail('a dict is made of something that holds no pairs')) {
    const both = itemsOf(pair);
    if (both?.length !== 2) fail('a dict is made of something that holds no pairs');
    add(dict, both[0]!, both[1]!);
  }
  return dict;
}

/** What a call gives. `add` sets an item of a dict, with its checks. */
export function call(
  { name, role }: PyGlobal,
  args: readonly PyValue[],
  budget: Budget,
  add: (dict: PyDict, key: PyValue, value: PyValue) => void,
): PyValue {
  const count = args.length;
  const first = args[0];
  const wrong = (): never => fail(`${name} cannot be called with ${count} arguments like these`);
  if (role !== 'call') fail(`${name} cannot be called`);
  switch (name) {
    case 'collections.OrderedDict':
    case 'collections.Counter':
      return count === 0 ? {} : count === 1 ? pairs(first, add) : wrong();
    case 'builtins.set':
    case 'torch.Size': {
      // An array of its own: the argument may stand elsewhere too.
      const items = count === 0 ? [] : count === 1 ? (itemsOf(first) ?? wrong()) : wrong();
      if (!budget.spend(COST.list + COST.slot * items.length)) fail('a set is out of all proportion to the file');
      return items.slice();
    }
    case 'builtins.bytearray':
      if (count === 0) return new Uint8Array(0);
      return count === 1 && first !== null && ArrayBuffer.isView(first) ? first : wrong();
    case '_codecs.encode':
      return encode(args, budget);
    case 'builtins.complex': {
      const [re, im] = args;
      return count === 2 && typeof re === 'number' && typeof im === 'number' ? new PyComplex(re, im) : wrong();
    }
    case 'torch.device': {
      const [type, index] = args;
      if (count < 1 || count > 2 || typeof type !== 'string') return wrong();
      return index === undefined || index === null ? type : `${type}:${integer('index of a device', index)}`;
    }
    case 'torch.serialization._get_layout':
      return count === 1 && typeof first === 'string' ? first : wrong();
    case 'torch._utils._rebuild_tensor':
      return count === 4 ? tensor(args, undefined, undefined) : wrong();
    case 'torch._utils._rebuild_tensor_v2':
      if (count !== 6 && count !== 7) fail(`a tensor is rebuilt from 6 or 7 arguments, got ${count}`);
      checkGradient(args[4], args[5]);
      return tensor(args, undefined, args[6]);
    case 'torch._utils._rebuild_tensor_v3':
      if (count !== 7 && count !== 8) fail(`a tensor is rebuilt from 7 or 8 arguments, got ${count}`);
      checkGradient(args[4], args[5]);
      return tensor(args, args[6], args[7]);
    case 'torch._utils._rebuild_parameter':
    case 'torch._utils._rebuild_parameter_with_state':
      // The state holds attributes that a user hung on the parameter.
      if (count !== (name.endsWith('state') ? 4 : 3) || !(first instanceof PyTensor)) return wrong();
      checkGradient(args[1], args[2]);
      return first;
    case 'torch.nn.parameter.Parameter':
      return (count === 1 || count === 2) && first instanceof PyTensor ? first : wrong();
    case 'torch._tensor._rebuild_from_type_v2': {
      const [inner, kind, innerArgs] = args;
      const plain = kind instanceof PyGlobal && /^torch\.(Tensor|nn\.parameter\.Parameter)$/.test(kind.name);
      if (count !== 4 || !(inner instanceof PyGlobal) || !Array.isArray(innerArgs)) return wrong();
      if (!plain) fail(`a tensor is of the class ${describe(kind)}; save plain tensors`);
      // One step, so that a call cannot go on calling itself.
      if (inner.name.endsWith('_rebuild_from_type_v2')) return wrong();
      const made = call(inner, innerArgs, budget, add);
      return made instanceof PyTensor ? made : wrong();
    }
    default:
      fail(`${name} cannot be called`);
  }
}

/** Gradients and hooks are no data; they must only be what torch.save writes. */
function checkGradient(requiresGrad: PyValue | undefined, hooks: PyValue | undefined): void {
  if (typeof requiresGrad !== 'boolean' || !(hooks === null || isDict(hooks)))
    fail('a tensor has hooks, or is not rebuilt as torch.save writes it');
}

/** What a persistent id names: a storage. `legacy` ids have a view's place as a sixth part. */
export function storageOf(id: PyValue, legacy: boolean): PyStorage {
  const wrong = (): never => fail('a persistent id must be ("storage", type, key, location, count)');
  if (!Array.isArray(id) || id.length !== (legacy ? 6 : 5) || id[0] !== 'storage') return wrong();
  const [, type, key, location, count] = id as readonly PyValue[];
  if (!(type instanceof PyGlobal) || (type.role !== 'storage' && type.role !== 'untyped'))
    fail('a storage has no type');
  if (typeof key !== 'string' || !/^[0-9]{1,20}$/.test(key) || typeof location !== 'string')
    fail('a storage has no key of digits, or no location');
  const elements = integer('count of a storage', count);
  if (!Number.isSafeInteger(elements * (type.type?.size ?? 1))) fail('a storage is larger than any file');
  return new PyStorage(key, type.type, elements);
}

/**
 * The part of a storage that a legacy file's view is of: `(key, first element, elements)` or None.
 */
export function viewOfStorage(storage: PyStorage, id: PyValue): PyStorage {
  const view = (id as readonly PyValue[])[5];
  if (view === null) return storage;
  const parts = itemsOf(view);
  if (parts?.length !== 3) fail('a view of a storage must be (key, offset, count)');
  const begin = integer('offset of a view', parts[1]);
  const count = integer('count of a view', parts[2]);
  if (begin + count > storage.count) fail(`a view reaches past the ${storage.count} elements of its storage`);
  return new PyStorage(storage.key, storage.type, count, begin);
}

/** A dict's key as text, as Python prints it. */
export function keyText(key: PyValue): string {
  if (typeof key === 'string') return key;
  if (typeof key === 'number' || typeof key === 'bigint') return String(key);
  if (key === null) return 'None';
  if (typeof key === 'boolean') return key ? 'True' : 'False';
  if (Array.isArray(key) && key.length <= 16) {
    const parts = (key as readonly PyValue[]).map((part) => {
      if (typeof part === 'string' && part.length <= 200) return `'${part}'`;
      return part !== null && typeof part === 'object' ? undefined : keyText(part);
    });
    if (!parts.includes(undefined)) return `(${parts.join(', ')}${parts.length === 1 ? ',' : ''})`;
  }
  fail(`a dict key must be a str, a number, None or a tuple of them, got ${describe(key)}`);
}
