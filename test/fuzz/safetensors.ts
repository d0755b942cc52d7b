/**
 * Hostile safetensors files and training states: mutations that know what stands in them, so that
 * they reach far in.
 */
import { decodeSafetensors, encodeSafetensors } from 'tensorless/safetensors';

type Random = (below: number) => number;

const NAMES =
  'BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64 ' +
  'F32\\u0000 f32'.split(' ');

/** What may stand in a value's place. */
function wrong(random: Random): string {
  const depth = 1 + random(20_000);
  return [
    'null',
    '-0',
    '1e3',
    '0.5',
    '18446744073709551616',
    '9007199254740993',
    '""',
    '"\\ud800"',
    '"\\u202e\\u001b[2J"',
    '[]',
    '[[]]',
    '{}',
    '{"__proto__":{"polluted":1}}',
    `${'['.repeat(depth)}${random(2) === 0 ? ']'.repeat(depth) : ''}`,
    `${'{"a":'.repeat(depth)}1${random(2) === 0 ? '}'.repeat(depth) : ''}`,
    `[${'1,'.repeat(random(20_000))}1]`,
    `"${'x'.repeat(random(50_000))}"`,
    `[${'{},'.repeat(random(20_000))}{}]`,
  ][random(18)]!;
}

/** A header in which one token is another one: its structure stays, its meaning does not. */
export function mutatedHeader(text: string, random: Random): string {
  const at = (pattern: RegExp, by: (match: string) => string): string => {
    const matches = [...text.matchAll(pattern)];
    if (matches.length === 0) return text;
    const { 0: match, index } = matches[random(matches.length)]!;
    return `${text.slice(0, index)}${by(match)}${text.slice(index + match.length)}`;
  };
  switch (random(8)) {
    case 0:
      return at(/"dtype":"\w+"/g, () => `"dtype":"${NAMES[random(NAMES.length)]}"`);
    case 1:
      return at(/\d+/g, (n) => String([0, 1, Number(n) + 1, Number(n) * 2, 2 ** 32, 2 ** 53 - 1][random(6)]));
    case 2:
      return at(/\[[\d,]*\]/g, () => wrong(random));
    case 3:
      return at(/"(dtype|shape|data_offsets)"/g, () => ['"dtype"', '"shape"', '"x"', '"__metadata__"'][random(4)]!);
    case 4:
      return at(/"__metadata__":\{[^}]*\}/g, () => `"__metadata__":${wrong(random)}`);
    case 5:
      return at(/^\{/g, () => `{"x":${wrong(random)},`);
    case 6:
      return at(/\{"dtype"[^}]*\}/g, (entry) => `${entry.slice(0, -1)},"more":${wrong(random)}}`);
    default:
      return at(/[,{}[\]:"]/g, () => [',', '{', '}', '[', ']', ':', '"', '\\', ' ', '\u0000'][random(10)]!);
  }
}

/** A training state whose description says something else of the same arrays. */
export function mutatedState(file: Uint8Array, random: Random): Uint8Array {
  const { tensors, metadata } = decodeSafetensors(file);
  let text = metadata.tensorless;
  if (text === undefined) return file;
  for (let times = 1 + random(2); times > 0; times--) {
    const matches: RegExpExecArray[] = [...text.matchAll(/"[^"]*"|-?\d[\d.e+-]*|true|false|null|\{\}|\[\]/g)];
    const chosen = matches[random(matches.length)]!;
    const match: string = chosen[0];
    const index: number = chosen.index;
    const names = Object.keys(tensors);
    const other = [
      wrong(random),
      matches[random(matches.length)]![0],
      `{"$tensor":${JSON.stringify(names[random(names.length)] ?? 'x')}}`,
      `{"$number":${['"NaN"', '"-0"', '"1"', '[[[]]]'][random(4)]}}`,
      `{"$object":${['[]', '[["__proto__",1]]', '[[1,2]]', '[["a",{"$object":[]}]]', '3'][random(5)]}}`,
      '{"$tensor":"nothing"}',
    ][random(6)]!;
    text = `${text.slice(0, index)}${other}${text.slice(index + match.length)}`;
  }
  return encodeSafetensors(tensors, { ...metadata, tensorless: text.replaceAll(/\p{Surrogate}/gu, '') });
}
