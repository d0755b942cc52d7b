/**
 * Checkpoint folders of transformers' Trainer: weights, optimizer.pt, scheduler.pt,
 * trainer_state.json.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { OptimizerStateDict, StateTensor, StateValue } from '../core/dtype.ts';
import type { Parameter } from '../core/parameter.ts';
import { busyFiles, inTurn, replaceBytes, syncFolder } from '../disk/atomic-file.ts';
import { ownOf, removeLeftovers, temporaryName } from '../disk/leftovers.ts';
import { pathOf, shownPath, statsAt, throughLinks } from '../disk/paths.ts';
import { CheckpointError } from '../formats/error.ts';
import { brief, quoted } from '../formats/quote.ts';
import { INDEX, prepareWeights, readJsonFile, SINGLE, writeWeights } from './hugging-face.ts';
import { loadTorch, saveTorch } from './torch-file.ts';
import { type CheckedParts, checkedParts, type TrainingParts } from './training-parts.ts';
import { copyOf, prepared } from './training-state.ts';

/** What {@link loadTrainerCheckpoint} finds beside the parts. */
export interface LoadedTrainerCheckpoint {
  /** Steps that were trained. */
  globalStep: number;
  /** The contents of trainer_state.json. */
  trainerState: unknown;
}

/** Options of {@link saveTrainerCheckpoint}. */
export interface SaveTrainerCheckpointOptions {
  /** Steps that were trained. */
  globalStep: number;
  /** Weights are split into files of at most so many bytes. Default 50 GB, as transformers. */
  maxShardBytes?: number;
  /**
   * What trainer_state.json is to hold; its `global_step` is set, and what Trainer needs and it
   * lacks is added.
   */
  trainerState?: object;
}

const STATE = 'trainer_state.json';
const STATES = ['optimizer', 'scheduler'] as const;

function trainerParts(where: string, parts: TrainingParts): CheckedParts {
  const checked = checkedParts(where, parts);
  for (const key of ['accumulator', 'extra'] as const) {
    if (checked[key] === undefined) continue;
    const repair = key === 'extra' ? '; put your own data into trainerState' : '; save at the end of a round';
    throw new RangeError(`${where}: a Trainer checkpoint has no place for ${key}${repair}`);
  }
  return checked;
}

/**
 * Loads a checkpoint folder of transformers' Trainer; all or nothing. Weights go by name (all of
 * the model's are needed); the optimizer's state goes by position in Trainer's order
 * (`weightDecayGroups` makes its two groups), or by name where the file has names.
 *
 * @param folder - Such as `checkpoint-500`; a path or file: URL.
 * @param parts - `parameters`, `optimizer`, `scheduler`; each may be left out.
 * @throws (rejects) CheckpointError, with nothing changed, when something does not fit or is
 * damaged; the file system's error.
 */
export async function loadTrainerCheckpoint(
  folder: string | URL,
  parts: TrainingParts,
): Promise<LoadedTrainerCheckpoint> {
  const where = 'loadTrainerCheckpoint';
  const absolute = pathOf(where, folder);
  const checked = trainerParts(where, parts);
  const trainerState = await readJsonFile(join(absolute, STATE));
  const globalStep = (trainerState as { global_step?: unknown } | null)?.global_step;
  if (!Number.isSafeInteger(globalStep) || (globalStep as number) < 0) {
    throw new CheckpointError(
      `${shownPath(join(absolute, STATE))}: global_step must be a count, got ${brief(globalStep)}`,
    );
  }
  const weights = checked.parameters && (await prepareWeights(absolute, checked.parameters, true));
  const states: (readonly [(typeof STATES)[number], StateValue])[] = [];
  for (const key of STATES) {
    if (checked[key] !== undefined) states.push([key, await loadTorch(join(absolute, `${key}.pt`))]);
  }
  // From here on nothing waits: all is checked, then all is put in place.
  const commits = states.map(([key, state]) => prepared(key, checked, state));
  weights?.commit();
  for (const commit of commits) commit();
  return { globalStep: globalStep as number, trainerState };
}

/** trainer_state.json, with what Trainer needs to resume from it. */
function stateText({ globalStep, trainerState = {} }: SaveTrainerCheckpointOptions): string {
  const control = {
    args: {
      should_epoch_stop: false,
      should_evaluate: false,
      should_log: false,
      should_save: true,
      should_training_stop: false,
    },
    attributes: {},
  };
  // The defaults of TrainerState and TrainingArguments (transformers 5.24).
  const state = {
    best_global_step: null,
    best_metric: null,
    best_model_checkpoint: null,
    epoch: 0,
    eval_steps: 500,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: [],
    logging_steps: 500,
    max_steps: globalStep,
    num_input_tokens_seen: 0,
    num_train_epochs: 1,
    save_steps: 500,
    total_flos: 0,
    train_batch_size: 8,
    trial_name: null,
    trial_params: null,
    ...trainerState,
    global_step: globalStep,
  };
  const callbacks = (trainerState as { stateful_callbacks?: object | null }).stateful_callbacks ?? {};
  const whole = { ...state, stateful_callbacks: { TrainerControl: control, ...callbacks } };
  return `${pythonJson(whole)}\n`;
}

function stateBytes(where: string, options: SaveTrainerCheckpointOptions): Uint8Array {
  let text: string;
  try {
    text = stateText(options);
  } catch (cause) {
    const [said] = (cause as Error).message.split('\n');
    throw new TypeError(`${where}: trainerState must hold what JSON can, without bigints and circles: ${said}`, {
      cause,
    });
  }
  return new TextEncoder().encode(text);
}

/** JSON as Python's `json` reads it, with NaN and infinities: losses may be such. */
function pythonJson(value: unknown): string {
  // A mark that no text of the state holds.
  const mark = randomUUID();
  const text = JSON.stringify(value, (_, item: unknown) => {
    return typeof item === 'number' && !Number.isFinite(item) ? `${mark}${item}` : item;
  });
  return text.replaceAll(new RegExp(`"${mark}(.*?)"`, 'g'), '$1');
}

function checkOptions(where: string, options: SaveTrainerCheckpointOptions): number {
  const { globalStep, maxShardBytes = 50e9, trainerState = {}, ...unknown } = options ?? {};
  for (const key of Object.keys(unknown)) {
    throw new RangeError(
      `${where}: unknown option ${quoted(key)}. Known options: globalStep, maxShardBytes, trainerState`,
    );
  }
  if (!Number.isSafeInteger(globalStep) || globalStep < 0) {
    throw new RangeError(`${where}: globalStep must be an integer at least 0, got ${brief(globalStep)}`);
  }
  if (!(typeof maxShardBytes === 'number' && maxShardBytes >= 1)) {
    throw new RangeError(`${where}: maxShardBytes must be a number of bytes, got ${brief(maxShardBytes)}`);
  }
  if (typeof trainerState !== 'object' || trainerState === null || Array.isArray(trainerState)) {
    throw new TypeError(`${where}: trainerState must be an object, got ${brief(trainerState)}`);
  }
  return maxShardBytes;
}

/**
 * Writes a checkpoint folder that transformers' Trainer resumes from (`resume_from_checkpoint`):
 * model.safetensors or shards, optimizer.pt, scheduler.pt, trainer_state.json. The parts are taken
 * as they are at the call.
 *
 * A folder that does not exist appears whole or not at all. In one that does, each file is replaced
 * atomically, trainer_state.json last; other files stay. Saves to one folder are done in the order
 * of the calls.
 *
 * @param folder - Such as `checkpoint-500`, the name that Trainer looks for; a path or file: URL.
 * @throws (rejects) TypeError or RangeError when parts or options are wrong; the file system's
 * error.
 */
export async function saveTrainerCheckpoint(
  folder: string | URL,
  parts: TrainingParts,
  options: SaveTrainerCheckpointOptions,
): Promise<void> {
  const where = 'saveTrainerCheckpoint';
  const absolute = throughLinks(pathOf(where, folder));
  const most = checkOptions(where, options);
  const checked = trainerParts(where, parts);
  const state = stateBytes(where, options);
  const tensors = checked.parameters?.map(tensorOf) ?? null;
  const dicts = STATES.flatMap((key) => {
    const part = checked[key];
    return part === undefined ? [] : [[key, part.stateDict() as OptimizerStateDict] as const];
  });
  const write = async (to: string): Promise<void> => {
    const saved = tensors && (await writeWeights(where, to, tensors, most));
    for (const [key, dict] of dicts) await saveTorch(join(to, `${key}.pt`), dict);
    if (saved !== null) await removeOldWeights(to, saved.files);
    await replaceBytes(join(to, STATE), state);
  };
  await inTurn(absolute, () => replaceFolder(absolute, write));
}

/** Has a folder written to, or appear when it is written as a whole. */
async function replaceFolder(absolute: string, write: (to: string) => Promise<void>): Promise<void> {
  const stats = statsAt(absolute);
  if (stats !== null && !stats.isDirectory()) refuseFile(absolute);
  if (stats !== null) return write(absolute);
  const parent = dirname(absolute);
  await mkdir(parent, { recursive: true });
  await removeLeftovers(parent, ownOf(basename(absolute)), busyFiles());
  const temporary = join(parent, temporaryName(basename(absolute)));
  await mkdir(temporary);
  try {
    await write(temporary);
    await rename(temporary, absolute);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(parent);
}

function refuseFile(path: string): never {
  throw Object.assign(new Error(`ENOTDIR: ${shownPath(path)} is no folder; give the path of one`), { code: 'ENOTDIR' });
}

/** A weight as it is now. */
function tensorOf({ name, dtype, shape, data }: Parameter): [string, StateTensor] {
  return [name!, { dtype, shape: [...shape], data: copyOf(data) }];
}

/** Weights of an earlier save in another number of files: readers would take them first. */
async function removeOldWeights(folder: string, files: readonly string[]): Promise<void> {
  for (const name of await readdir(folder)) {
    const weights = name === SINGLE || name === INDEX || /^model-\d{5}-of-\d{5}\.safetensors$/.test(name);
    if (weights && !files.includes(name)) await rm(join(folder, name), { force: true });
  }
}
