/** A folder of checkpoints: the newest and the best are kept. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { options as checkedOptions, isRecord } from '../core/check.ts';
import { busyFiles, replaceFile } from '../disk/atomic-file.ts';
import { fileSource } from '../disk/file-source.ts';
import { ownOfForm, removeLeftovers } from '../disk/leftovers.ts';
import { pathOf, shownPath, statsAt } from '../disk/paths.ts';
import { CheckpointError } from '../formats/error.ts';
import { writePieces } from '../formats/pieces.ts';
import { brief } from '../formats/quote.ts';
import { openHeader } from '../formats/safetensors-file.ts';
import { named } from './run-file.ts';
import { readContent } from './training-content.ts';
import { checkedParts, type TrainingParts } from './training-parts.ts';
import { layOutRun } from './training-state.ts';
import { openRun } from './training-stream.ts';

/** Options of {@link CheckpointManager}. */
export interface CheckpointManagerOptions {
  /** So many checkpoints with the highest steps are kept. Default 3; Infinity keeps all. */
  keepLast?: number;
  /** So many with the best metrics are kept beside them. Default 0. */
  keepBest?: number;
  /** Whether a low metric is good (`"min"`, default), as a loss, or a high one. */
  mode?: 'min' | 'max';
}

/** One checkpoint of a folder. */
export interface CheckpointInfo {
  /** The step that it was saved with. */
  step: number;
  /** Its file. */
  path: string;
  /** The metric that it was saved with, or null. */
  metric: number | null;
  /** Bytes of the file. */
  bytes: number;
}

/** What was loaded. */
export interface LoadedCheckpoint {
  /** Step of the checkpoint. */
  step: number;
  /** Its file. */
  path: string;
  /** The extras that were saved. */
  extra: unknown;
  /** Files that would have come first and are damaged. */
  skipped: string[];
}

const FILE = /^step-(0|[1-9]\d{0,15})\.safetensors$/;
const METADATA = 'tensorless.checkpoint';

/** How a file of the folder is. */
type Found =
  | ({ kind: 'whole'; own: boolean } & CheckpointInfo)
  | { kind: 'damaged' | 'foreign'; step: number; path: string };

/**
 * A folder of checkpoints, `step-<n>.safetensors`. Old ones are removed only after the new one is
 * safely on disk; files that this class has not written are never touched, nor are damaged ones.
 *
 * @example
 * ```ts
 * const manager = new CheckpointManager('runs/7', { keepLast: 2, keepBest: 1 });
 * const found = await manager.loadLatest(parts);
 * for (let step = found?.step ?? 0; step < 1000; step++) {
 *   train(step);
 *   if (step % 100 === 0) await manager.save(step, parts, { metric: loss });
 * }
 * ```
 */
export class CheckpointManager {
  readonly #folder: string;
  readonly #keepLast: number;
  readonly #keepBest: number;
  readonly #mode: 'min' | 'max';
  /** What this manager has saved last: it stays, whatever other steps are there. */
  #own = '';
  /** Saves one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param folder - A path or file: URL; made at the first save where it is missing.
   * @throws TypeError or RangeError when an option is wrong.
   */
  constructor(folder: string | URL, options: CheckpointManagerOptions = {}) {
    const given = checkedOptions('CheckpointManager', options, ['keepLast', 'keepBest', 'mode']);
    const { keepLast = 3, keepBest = 0, mode = 'min' } = given as CheckpointManagerOptions;
    this.#folder = pathOf('CheckpointManager', folder);
    for (const [name, value, least] of [
      ['keepLast', keepLast, 1],
      ['keepBest', keepBest, 0],
    ] as const) {
      if (value !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(value) && value >= least)) {
        throw new RangeError(
          `CheckpointManager: ${name} must be an integer at least ${least}, or Infinity, got ${brief(value)}`,
        );
      }
    }
    if (mode !== 'min' && mode !== 'max') {
      throw new RangeError(`CheckpointManager: mode must be "min" or "max", got ${brief(mode)}`);
    }
    this.#keepLast = keepLast;
    this.#keepBest = keepBest;
    this.#mode = mode;
  }

  /**
   * Saves the parts, as they are at the call, and removes checkpoints that are no longer to be
   * kept. A checkpoint of the same step is replaced.
   *
   * @param step - An integer, at least 0.
   * @param options - `metric`: what `keepBest` and `loadBest` go by; NaN is refused.
   * @returns The file's path.
   * @throws (rejects) As `saveTrainingState`; nothing is removed then. CheckpointError when a file
   * of that name is no checkpoint of this class.
   */
  async save(step: number, parts: TrainingParts, options: { metric?: number } = {}): Promise<string> {
    const where = 'CheckpointManager.save';
    if (!Number.isSafeInteger(step) || step < 0) {
      throw new RangeError(`${where}: step must be an integer at least 0, got ${brief(step)}`);
    }
    const { metric } = checkedOptions(where, options, ['metric']) as { metric?: number };
    if (metric !== undefined && (typeof metric !== 'number' || Number.isNaN(metric))) {
      throw new RangeError(`${where}: metric must be a number, got ${brief(metric)}; leave it out where there is none`);
    }
    const about = JSON.stringify({ step, ...(metric !== undefined && { metric: String(metric) }) });
    const layout = layOutRun(where, parts, true, { [METADATA]: about });
    const path = join(this.#folder, `step-${step}.safetensors`);
    const work = this.#last.then(async () => {
      await mkdir(this.#folder, { recursive: true });
      const there = await look(path, step);
      if (there?.kind === 'foreign' || (there?.kind === 'whole' && !there.own)) {
        throw new CheckpointError(
          `${shownPath(path)} is no checkpoint of CheckpointManager; it stays as it is, move it away`,
        );
      }
      await removeLeftovers(this.#folder, ownOfForm(FILE), busyFiles());
      await replaceFile(path, (sink) => writePieces(layout, sink));
      this.#own = path;
      await this.#prune();
    });
    this.#last = work.catch(() => {});
    await work;
    return path;
  }

  /**
   * Loads the checkpoint with the highest step that is whole.
   *
   * @returns Null when the folder has none.
   * @throws (rejects) CheckpointError when there are only damaged ones, with their names, or when
   * the one that is whole does not fit the parts; nothing has changed then.
   */
  loadLatest(parts: TrainingParts): Promise<LoadedCheckpoint | null> {
    return this.#load(parts, (found) => found.sort((a, b) => b.step - a.step));
  }

  /**
   * Loads the checkpoint with the best metric that is whole; as {@link
   * CheckpointManager.loadLatest} otherwise.
   */
  loadBest(parts: TrainingParts): Promise<LoadedCheckpoint | null> {
    return this.#load(parts, (found) =>
      this.#byMetric(found.filter((one) => one.kind !== 'whole' || one.metric !== null)),
    );
  }

  /** The checkpoints that are whole, lowest step first. */
  async list(): Promise<CheckpointInfo[]> {
    return (await this.#wholes()).map(({ kind: _, own: __, ...info }) => info);
  }

  async #wholes(): Promise<Extract<Found, { kind: 'whole' }>[]> {
    const found = await this.#look();
    return found.filter((one) => one.kind === 'whole').sort((a, b) => a.step - b.step);
  }

  /** Every file that is named as a checkpoint. */
  async #look(): Promise<Found[]> {
    const names = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const found: Found[] = [];
    for (const name of names) {
      const step = FILE.exec(name)?.[1];
      // Another number than the name's would be the step beyond 2^53.
      if (step === undefined || !Number.isSafeInteger(Number(step))) continue;
      const one = await look(join(this.#folder, name), Number(step));
      if (one !== null) found.push(one);
    }
    return found;
  }

  /**
   * Best first, of two equal ones the newer; damaged ones, whose metric nobody knows, before all.
   */
  #byMetric(found: Found[]): Found[] {
    const sign = this.#mode === 'min' ? 1 : -1;
    const worth = (one: Found): number => (one.kind === 'whole' ? sign * one.metric! : Number.NEGATIVE_INFINITY);
    // Not by subtraction: two infinities would give NaN.
    return found.sort((a, b) => (worth(a) === worth(b) ? b.step - a.step : worth(a) < worth(b) ? -1 : 1));
  }

  async #load(parts: TrainingParts, order: (found: Found[]) => Found[]): Promise<LoadedCheckpoint | null> {
    const checked = checkedParts('CheckpointManager', parts);
    const skipped: string[] = [];
    const gone = new Set<string>();
    for (;;) {
      const found = (await this.#look()).filter((one) => one.kind !== 'foreign' && !gone.has(one.path));
      const next = order(found).find(({ path, kind }) => {
        if (kind === 'damaged' && !skipped.includes(path)) skipped.push(path);
        return kind === 'whole' && !skipped.includes(path);
      });
      if (next === undefined) break;
      const { step, path } = next;
      try {
        const source = await fileSource(path);
        try {
          const run = await openRun(source);
          return { step, path, extra: await run.read(checked, false), skipped: skipped.filter((one) => one !== path) };
        } finally {
          await source.close();
        }
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // Another manager has removed it meanwhile; or its bytes cannot be read.
        if (code === 'ENOENT') gone.add(path);
        else if (code === 'EIO' || (await look(path, step))?.kind === 'damaged') skipped.push(path);
        else throw named(path, error);
      }
    }
    if (skipped.length === 0) return null;
    const names = skipped.map((path) => basename(path));
    const shown = `${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`;
    throw new CheckpointError(`${shownPath(this.#folder)}: every checkpoint is damaged: ${shown}`);
  }

  /**
   * Removes what is not to be kept. Only whole checkpoints of this class count, and only they are
   * removed.
   */
  async #prune(): Promise<void> {
    const wholes = (await this.#wholes()).filter(({ own }) => own);
    const keep = new Set([this.#own]);
    const last = Number.isFinite(this.#keepLast) ? wholes.slice(-this.#keepLast) : wholes;
    for (const { path } of last) keep.add(path);
    const best = this.#byMetric(wholes.filter(({ metric }) => metric !== null));
    for (const { path } of best.slice(0, this.#keepBest)) keep.add(path);
    for (const { path } of wholes) if (!keep.has(path)) await rm(path, { force: true });
  }
}

/** The metric that a checkpoint was saved with, or null. @throws CheckpointError otherwise. */
function metricOf(about: string): number | null {
  const saved: unknown = JSON.parse(about);
  if (isRecord(saved)) {
    const { metric } = saved;
    if (metric === undefined) return null;
    if (typeof metric === 'string' && metric.trim() !== '' && !Number.isNaN(Number(metric))) return Number(metric);
  }
  throw new CheckpointError('CheckpointManager: what stands about the checkpoint is damaged');
}

/** What lies at a path: null when nothing does any more. */
async function look(path: string, step: number): Promise<Found | null> {
  try {
    const stats = statsAt(path);
    if (stats === null) return null;
    if (!stats.isFile()) return { kind: 'foreign', step, path };
    const source = await fileSource(path);
    try {
      const { metadata } = await openHeader('CheckpointManager', source);
      const about = metadata[METADATA];
      if (metadata.tensorless === undefined) return { kind: 'foreign', step, path };
      readContent(metadata, source.size);
      const metric = about === undefined ? null : metricOf(about);
      return { kind: 'whole', own: about !== undefined, step, path, metric, bytes: source.size };
    } finally {
      await source.close();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    if (error instanceof CheckpointError || error instanceof SyntaxError || code === 'EIO') {
      return { kind: 'damaged', step, path };
    }
    throw error;
  }
}
