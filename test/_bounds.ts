/**
 * Decodes one hostile file, number argv[2]; prints its size, the time, the memory taken and the
 * error (test/safetensors-bounds.slow.ts).
 */
import { decodeTrainingState } from 'tensorless/checkpoint';
import { decodeSafetensors } from 'tensorless/safetensors';
import { slowness } from './_yardstick.ts';

const MB = 1e6;
const repeated = (text: string, bytes: number): string => text.repeat(Math.floor(bytes / text.length));
const described = (text: string): string => `{"__metadata__":{"tensorless":${JSON.stringify(text)}}}`;
const extra = (inner: string): string => described(`{"format":1,"extra":${inner}}`);
const numbered = (bytes: number, make: (i: number) => string): string => {
  const parts: string[] = [];
  for (let i = 0, length = 0; length < bytes; i++) length += parts[parts.push(make(i)) - 1]!.length + 1;
  return parts.join(',');
};

export const HOSTILE: readonly (readonly [what: string, header: () => string])[] = [
  ['40 MB of [', () => '['.repeat(40 * MB)],
  ['60 MB of {"a":', () => repeated('{"a":', 60 * MB)],
  ['an unknown key with 30 MB of []', () => `{"a":{"x":[${repeated('[],', 30 * MB)}0]}}`],
  ['an unknown key with 30 MB of {}', () => `{"a":{"x":[${repeated('{},', 30 * MB)}0]}}`],
  ['33 MB of metadata', () => `{"__metadata__":{${numbered(33 * MB, (i) => `"${i.toString(36)}":""`)}}}`],
  [
    '30 MB of empty tensors',
    () => `{${numbered(30 * MB, (i) => `"${i.toString(36)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)}}`,
  ],
  [
    'a shape of 4 million numbers',
    () => `{"a":{"dtype":"F32","shape":[${repeated('1,', 8 * MB)}3],"data_offsets":[0,4]}}`,
  ],
  [
    'a shape of 4 million ones',
    () => `{"a":{"dtype":"F32","shape":[${repeated('1,', 8 * MB)}0],"data_offsets":[0,0]}}`,
  ],
  ['20 MB of unknown keys of one entry', () => `{"a":{${numbered(20 * MB, (i) => `"${i.toString(36)}":0`)}}}`],
  ['a name of 40 MB', () => `{"${'x'.repeat(40 * MB)}":3}`],
  ['20 MB of escaped quotes', () => `{"${'\\"'.repeat(10 * MB)}":3}`],
  ['40 MB of control characters', () => `{"${'\u0001'.repeat(40 * MB)}":3}`],
  ['a description of 30 MB of [', () => described('['.repeat(30 * MB))],
  ['extras of 20 MB of {}', () => extra(`[${repeated('{},', 20 * MB)}0]`)],
  ['extras of 20 MB of []', () => extra(`[${repeated('[],', 20 * MB)}0]`)],
  [
    'extras of 20 MB of objects with keys of their own',
    () => extra(`[${numbered(20 * MB, (i) => `{"${i.toString(36)}":0}`)}]`),
  ],
  ['extras of 20 MB of one object', () => extra(`{${numbered(20 * MB, (i) => `"${i.toString(36)}":0`)}}`)],
  ['extras of 20 MB of numbers', () => extra(`[${repeated('0,', 20 * MB)}0]`)],
  ['extras of 20 MB of special numbers', () => extra(`[${repeated('{"$number":"NaN"},', 20 * MB)}0]`)],
  ['20 MB of names', () => described(`{"format":1,"parameters":[${repeated('"ab",', 20 * MB)}"x"]}`)],
];

const index = process.argv[2];
if (index !== undefined && process.argv[1]!.includes('_bounds')) {
  const text = new TextEncoder().encode(HOSTILE[Number(index)]![1]());
  const bytes = new Uint8Array(8 + text.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  // A small one first: the code is loaded and the collector awake.
  try {
    decodeSafetensors(new Uint8Array(20));
  } catch {}
  (globalThis as { gc?: () => void }).gc!();
  const before = process.resourceUsage().maxRSS * 1024;
  const resident = process.memoryUsage().rss;
  const begun = performance.now();
  const cpu = process.cpuUsage();
  let error: unknown;
  try {
    decodeTrainingState(bytes, {});
  } catch (caught) {
    error = caught;
  }
  const { user, system } = process.cpuUsage(cpu);
  // Others may run on this machine: the smaller one of the clock's and the processor's time is the
  // decoder's.
  const milliseconds = Math.min(performance.now() - begun, (user + system) / 1000);
  // What the preparation had and gave back does not hide what the decoder takes.
  const taken = Math.max(0, process.resourceUsage().maxRSS * 1024 - Math.max(before, resident));
  const { name, message } = (error ?? {}) as Error;
  const allowed = slowness() * (100 + bytes.length / 1e4);
  const hidden = before - resident;
  console.log(JSON.stringify({ size: bytes.length, milliseconds, allowed, taken, hidden, name, message }));
}
