/** What was measured, as files beside the page that is written from them: `bench/results/*.json`. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Ratios } from './dead-moments.ts';
import type { Result } from './measure.ts';

const folder = fileURLToPath(new URL('results/', import.meta.url));

/** Where and when. */
export interface Circumstances {
  readonly date: string;
  readonly machine: string;
  readonly versions: string;
}

/** Cases in which contestants took turns. */
export interface Races {
  readonly cases: readonly Result[];
}

/** Nanoseconds per element of AdamW where its numbers are very small. */
export interface DeadMoments {
  readonly side: number;
  readonly steps: number;
  readonly rows: readonly {
    readonly name: string;
    /** With gradients as usual; the mean over the steps without any; after these; with 1e-20. */
    readonly usual: number;
    readonly zeros: number;
    readonly after: number;
    readonly tiny: number;
  }[];
  /** Every optimizer, format and engine. */
  readonly every: readonly Ratios[];
}

/** Bytes of optimizers at work; `peak`: null where the system does not tell. */
export interface Memory {
  readonly model: string;
  readonly rows: readonly { readonly name: string; readonly state: number; readonly peak: number | null }[];
}

export interface Sizes {
  /** Bytes of what is imported, minified and gzipped. */
  readonly rows: readonly (readonly [title: string, bytes: number])[];
}

/** The largest difference of each contestant's weights to float64, relative to the largest. */
export interface Differences {
  readonly rows: readonly (readonly [name: string, difference: number])[];
}

/** Seconds of the rounds of `npm run bench:disk`. */
export interface Checkpoints {
  readonly bytes: number;
  readonly torchBytes: number;
  readonly seconds: Readonly<Record<string, readonly number[]>>;
}

/** The files, by name. */
export interface Results {
  readonly adafactor: Races;
  readonly adamw: Races;
  readonly formats: Races;
  readonly model: Races;
  readonly parameters: Races;
  readonly gradients: Races;
  readonly 'dead-moments': DeadMoments;
  readonly memory: Memory;
  readonly sizes: Sizes;
  readonly differences: Differences;
  readonly checkpoints: Checkpoints;
}

export type Saved<T> = T & { readonly on: Circumstances };
export type AllResults = { readonly [K in keyof Results]?: Saved<Results[K]> };

export const NAMES: readonly (keyof Results)[] = [
  'adafactor',
  'adamw',
  'formats',
  'model',
  'parameters',
  'gradients',
  'dead-moments',
  'memory',
  'sizes',
  'differences',
  'checkpoints',
];

/** This machine, today; `others`: versions of what else took part. */
export function circumstances(others: readonly string[] = []): Circumstances {
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, ${process.platform} ${process.arch}`,
    versions: [`Node ${process.versions.node} (V8 ${process.versions.v8})`, ...others].join('; '),
  };
}

/** All files that are there. */
export function readResults(): AllResults {
  const found = NAMES.filter((name) => existsSync(`${folder}${name}.json`));
  return Object.fromEntries(found.map((name) => [name, JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8'))]));
}

/** Writes one file: innermost lists and objects on lines of their own. */
export function writeResults<K extends keyof Results>(name: K, results: Results[K], on: Circumstances): void {
  mkdirSync(folder, { recursive: true });
  const text = JSON.stringify({ on, ...results }, null, 1).replace(/\[[^[\]{}]*\]|\{[^[\]{}]*\}/g, (inner) =>
    inner.replace(/\s*\n\s*/g, ' ').replace(/^([[{]) | ([\]}])$/g, '$1$2'),
  );
  writeFileSync(`${folder}${name}.json`, `${text}\n`);
}
