/**
 * Rates that a training wrote down: `trainer_state.json`, `scheduler.pt` and `optimizer.pt` of a
 * Trainer checkpoint, or any scheduler's or optimizer's state dict that `torch.save` wrote.
 */
import { decodeTorch } from 'tensorless/torch';

export interface Point {
  readonly step: number;
  readonly rate: number;
}

export interface Recorded {
  readonly name: string;
  readonly points: readonly Point[];
  /** Training steps, where the file tells. */
  readonly steps?: number;
  /** The initial learning rate, where the file tells. */
  readonly lr?: number;
}

type Dict = Readonly<Record<string, unknown>>;
const isDict = (value: unknown): value is Dict =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/** A number, also where PyTorch keeps it in a 0-d tensor. */
function number(value: unknown): number | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value);
  if (isDict(value) && ArrayBuffer.isView(value.data)) return Number((value.data as unknown as ArrayLike<number>)[0]);
  return undefined;
}

const first = (value: unknown): number | undefined => number(Array.isArray(value) ? value[0] : value);

function trainerState(name: string, state: Dict): Recorded {
  if (!Array.isArray(state.log_history))
    throw new Error(`${name} has no "log_history"; drop the trainer_state.json of a Trainer checkpoint.`);
  const points = state.log_history.flatMap((entry: unknown) => {
    if (!isDict(entry)) return [];
    const [step, rate] = [number(entry.step), number(entry.learning_rate)];
    return step === undefined || rate === undefined ? [] : [{ step, rate }];
  });
  if (points.length === 0)
    throw new Error(`${name} has no learning rates in its "log_history"; train with logging_steps to have some.`);
  const steps = number(state.max_steps);
  return { name, points, ...(steps !== undefined && steps >= 2 && { steps }) };
}

function stateDict(name: string, dict: unknown): Recorded {
  if (!isDict(dict)) throw new Error(`${name} holds no state dict.`);
  if (Array.isArray(dict.param_groups)) {
    const [group] = dict.param_groups as Dict[];
    const [state] = Object.values(isDict(dict.state) ? dict.state : {}) as Dict[];
    const [step, rate, lr] = [number(state?.step), number(group?.lr), number(group?.initial_lr)];
    if (step === undefined || rate === undefined)
      throw new Error(`${name} is an optimizer's state without a step; drop scheduler.pt beside it.`);
    return { name, points: [{ step, rate }], ...(lr !== undefined && { lr }) };
  }
  const [step, rate, lr] = [number(dict.last_epoch), first(dict._last_lr), first(dict.base_lrs)];
  if (step === undefined || rate === undefined)
    throw new Error(`${name} has no "last_epoch" and "_last_lr"; drop scheduler.pt of a Trainer checkpoint.`);
  return { name, points: [{ step, rate }], ...(lr !== undefined && { lr }) };
}

/** What a dropped file tells; an Error says what is wrong with it. */
export async function readRecorded(file: File): Promise<Recorded> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  // A JSON text begins with a brace; a .pt file with PK, or with the pickle's 0x80.
  const begin = bytes.find((byte) => byte > 0x20);
  if (begin !== 0x7b) return stateDict(file.name, decodeTorch(bytes));
  // Trainer writes NaN and Infinity, which JSON has not.
  const text = new TextDecoder().decode(bytes).replace(/(?<=[:[,]\s*)-?(NaN|Infinity)(?=\s*[,\]}])/g, 'null');
  return trainerState(file.name, JSON.parse(text));
}

export interface Difference {
  /** The largest distance between curve and record, as a part of the largest recorded rate. */
  readonly relative: number;
  readonly step: number;
  /** Whether the record has at step t the rate that was used for it, which the curve has at t - 1. */
  readonly before: boolean;
}

/** How far a curve is from what was recorded; undefined where no step is in both. */
export function difference(curve: Float64Array, points: readonly Point[]): Difference | undefined {
  const largest = Math.max(...points.map(({ rate }) => rate), Number.MIN_VALUE);
  const of = (before: boolean): Difference | undefined => {
    let most: Difference | undefined;
    for (const { step, rate } of points) {
      const own = curve[step - (before ? 1 : 0)];
      if (own === undefined) continue;
      const relative = Math.abs(own - rate) / largest;
      if (most === undefined || relative > most.relative) most = { relative, step, before };
    }
    return most;
  };
  const [at, before] = [of(false), of(true)];
  return before !== undefined && (at === undefined || before.relative < at.relative) ? before : at;
}
