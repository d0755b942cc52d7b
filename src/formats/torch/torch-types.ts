/** The number formats of PyTorch: names, bytes per element, storage classes. */

/**
 * What an element is, as far as signs and bytes go. `byte` is one that has neither: packed or
 * without a sign.
 */
type Kind = 'float' | 'complex' | 'int' | 'bool' | 'byte' | 'quantized';

/** A number format of PyTorch. */
export interface TorchType {
  /** PyTorch's name, without `torch.`. */
  readonly name: string;
  /** Bytes per element. */
  readonly size: number;
  /** Bytes that a machine's byte order turns round: half an element of a complex one. */
  readonly part: number;
  readonly kind: Kind;
  /**
   * Its storage class without `Storage`; formats without one are written through untyped storages.
   */
  readonly storage: string | undefined;
}

const ROWS: readonly (readonly [kind: Kind, size: number, names: string])[] = [
  ['float', 4, 'float32=Float'],
  ['float', 8, 'float64=Double'],
  ['float', 2, 'float16=Half bfloat16=BFloat16'],
  ['float', 1, 'float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz'],
  ['complex', 4, 'complex32'],
  ['complex', 8, 'complex64=ComplexFloat'],
  ['complex', 16, 'complex128=ComplexDouble'],
  ['int', 8, 'int64=Long uint64'],
  ['int', 4, 'int32=Int uint32'],
  ['int', 2, 'int16=Short uint16'],
  ['int', 1, 'int8=Char uint8=Byte'],
  ['bool', 1, 'bool=Bool'],
  ['byte', 1, 'float8_e8m0fnu float4_e2m1fn_x2 bits8 bits1x8 bits2x4 bits4x2'],
  ['byte', 1, 'int1 int2 int3 int4 int5 int6 int7 uint1 uint2 uint3 uint4 uint5 uint6 uint7'],
  ['byte', 2, 'bits16'],
  ['quantized', 1, 'qint8=QInt8 quint8=QUInt8 quint4x2=QUInt4x2 quint2x4=QUInt2x4'],
  ['quantized', 4, 'qint32=QInt32'],
];

const ALL: readonly TorchType[] = /* @__PURE__ */ ROWS.flatMap(([kind, size, names]) =>
  names.split(' ').map((entry): TorchType => {
    const [name, storage] = entry.split('=') as [string, string | undefined];
    return { name, size, part: kind === 'complex' ? size / 2 : size, kind, storage };
  }),
);

/** By PyTorch's name without `torch.`. */
export const TORCH_TYPES: ReadonlyMap<string, TorchType> = /* @__PURE__ */ new Map(
  ALL.map((type) => [type.name, type]),
);

/** By the storage class's name without `Storage`. */
export const STORAGE_TYPES: ReadonlyMap<string, TorchType> = /* @__PURE__ */ new Map(
  ALL.flatMap((type) => (type.storage === undefined ? [] : [[type.storage, type] as const])),
);

/**
 * Formats with a typed array of numbers here; all others keep their bytes. Narrow ints are widened
 * to int64.
 */
export const NUMBERS: ReadonlySet<string> = /* @__PURE__ */ new Set(
  'float32 float64 float16 bfloat16 int64 uint8 bool'.split(' '),
);
/** Formats that are read as int64, which holds them all. */
export const WIDENED: ReadonlySet<string> = /* @__PURE__ */ new Set(['int8', 'int16', 'int32']);

/** Whether this machine puts the low byte first. */
export const LITTLE_ENDIAN: boolean = /* @__PURE__ */ (() => new Uint8Array(new Uint16Array([1]).buffer)[0] === 1)();
