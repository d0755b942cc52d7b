/**
 * The program of a worker of `parallel.ts`: takes a plan, then claims items of it for as long as a step lasts.
 */

import { type Kernels, typescriptKernels } from '../engine/kernels.ts';
import { Engine } from '../engine/tasks.ts';
import { adamKinds } from '../optimizers/adam-tasks.ts';
import { factored } from '../optimizers/factored.ts';
import { Arena } from '../simd/arena.ts';
import { RESERVED } from '../simd/loops.ts';
import { compileSimd, simdEngine } from '../simd/module.ts';
import { useFastSixteen } from '../sixteen/low-precision.ts';
import {
  claim,
  finish,
  PASS,
  type Plan,
  runItem,
  SERIAL,
  STEP,
  type StartMessage,
  type StepMessage,
  TO,
  unpackArrays,
  unpackPlan,
} from './protocol.ts';

/** Longest sleep between two passes, in milliseconds: a missed wake-up costs no more. */
const NAP = 100;
/** How often to look before that: what lies between two passes of one matrix is shorter than a wake-up. */
const LOOKS = 5000;

let start: StartMessage | null = null;
let engine: Engine;
let memory: ArrayBuffer | null = null;
const plans = new Map<number, Plan>();

/** Kernels on the shared memory, with an arena for this worker's strips. */
function sharedKernels({ memory: shared, base, strips }: NonNullable<StartMessage['simd']>): Kernels {
  compileSimd('parallelKernels', true, 'pass simd: false');
  const arena = new Arena('parallelKernels', shared.buffer, base + RESERVED, strips, true);
  memory = shared.buffer;
  return {
    ...typescriptKernels,
    name: 'parallel',
    allocate: ((dtype: 'float32', length: number) => arena.allocate(dtype, length)) as Kernels['allocate'],
    fits: (dtype, length) => arena.fits(dtype, length),
    owns: (array) => arena.owns(array),
    free: (array) => arena.free(array),
    ...simdEngine(shared, arena, base, true),
  };
}

function handle(message: StartMessage | StepMessage, answer: (text: string) => void): void {
  if (start === null) {
    try {
      const given = message as StartMessage;
      useFastSixteen();
      engine = new Engine(given.simd === null ? typescriptKernels : sharedKernels(given.simd), {
        ...factored,
        ...adamKinds,
      });
      start = given;
      answer('ready');
    } catch (error) {
      answer(`cannot start: ${error instanceof Error ? error.message : String(error)}`);
    }
    return;
  }
  const { step, id, plan, changes, forget } = message as StepMessage;
  for (const old of forget) plans.delete(old);
  if (plan !== null) plans.set(id, unpackPlan(plan, memory));
  const known = plans.get(id)!;
  for (const [task, arrays] of changes) unpackArrays(known.tasks[task]!, arrays, memory);
  help(start, known, step);
}

/** Claims and does items until the step is over. */
function help({ words, who }: StartMessage, plan: Plan, step: number): void {
  for (;;) {
    const serial = Atomics.load(words, SERIAL);
    if (Atomics.load(words, STEP) !== step) return;
    const pass = Atomics.load(words, PASS);
    const to = Atomics.load(words, TO);
    for (let item = claim(words, plan, serial, to, who); item >= 0; item = claim(words, plan, serial, to, who)) {
      runItem(engine, plan, pass, item);
      finish(plan, serial, item);
    }
    for (let look = 0; look < LOOKS && Atomics.load(words, SERIAL) === serial; look++);
    Atomics.wait(words, SERIAL, serial, NAP);
  }
}

interface Port {
  postMessage(message: unknown): void;
  on(event: 'message', listener: (message: StartMessage | StepMessage) => void): void;
}
interface Scope {
  postMessage(message: unknown): void;
  addEventListener(event: 'message', listener: (event: { data: StartMessage | StepMessage }) => void): void;
  process?: { versions?: { node?: string } };
}

/** Makes this worker one of those of `parallelKernels`. Outside a worker it does nothing. */
export async function runParallelWorker(): Promise<void> {
  const scope = globalThis as unknown as Scope;
  if (scope.process?.versions?.node === undefined) {
    scope.addEventListener('message', ({ data }) => handle(data, (text) => scope.postMessage(text)));
    return;
  }
  // Spelled in two parts, so that bundlers for browsers do not look for it.
  const { parentPort } = (await import(['node', 'worker_threads'].join(':'))) as { parentPort: Port | null };
  parentPort?.on('message', (message) => handle(message, (text) => parentPort.postMessage(text)));
}
