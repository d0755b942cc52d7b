/**
 * The program of a worker of `parallel.ts`: takes a plan, then claims items of it for as long as a
 * step lasts.
 */
import { ENGINE, loopsOf } from '../engine/engine.ts';
import { engineOf, type Kernels, typescriptKernels } from '../engine/kernels.ts';
import type { Pass } from '../engine/pass.ts';
import { Room, Strip } from '../engine/strip.ts';
import { GRADIENTS } from '../gradients/gradient-passes.ts';
import * as optimizers from '../optimizers/list.ts';
import { Arena } from '../simd/arena.ts';
import { compileSimd, simdEngine } from '../simd/module.ts';
import { RESERVED } from '../simd/places.ts';
import { useFastSixteen } from '../sixteen/fast.ts';
import { nodeModule } from './node-module.ts';
import {
  claim,
  finish,
  type Message,
  PASS,
  type Plan,
  runItem,
  SERIAL,
  STEP,
  type StartMessage,
  TO,
  unpackArrays,
  unpackWork,
} from './protocol.ts';

/** Longest sleep between two passes, in milliseconds: a missed wake-up costs no more. */
const NAP = 100;
/**
 * How often to look before that: what lies between two passes of one matrix is shorter than a
 * wake-up.
 */
const LOOKS = 5000;

/** What a rule's items are done with. */
interface Tools {
  readonly strip: Strip;
  readonly passes: readonly Pass[];
}

/** One worker's side of all steps. */
class Helper {
  readonly #words: Int32Array;
  readonly #who: number;
  readonly #memory: ArrayBuffer | null;
  readonly #tools = new Map<string, Tools>();
  readonly #plans = new Map<number, Plan>();

  constructor({ words, who, simd }: StartMessage) {
    this.#words = words;
    this.#who = who;
    this.#memory = simd?.memory.buffer ?? null;
    useFastSixteen();
    const kernels = simd === null ? typescriptKernels : sharedKernels(simd);
    const engine = engineOf(kernels);
    const room = new Room(kernels);
    const rules = Object.values(optimizers).map(({ rule }) => rule);
    for (const rule of [...rules, GRADIENTS]) {
      const strip = new Strip(loopsOf<object>(engine, rule.loops), engine.sixteen ?? null, room);
      this.#tools.set(rule.name, { strip, passes: rule.passes });
    }
  }

  handle(message: Exclude<Message, StartMessage>): void {
    if (message.kind === 'plan') {
      const { rule, firstUnit, workOf, items, states } = message;
      this.#plans.set(message.id, { rule, firstUnit, workOf, items, states, works: [], columns: [] });
      return;
    }
    const plan = this.#plans.get(message.id)!;
    if (message.kind === 'works') {
      for (const [i, wire] of message.works.entries()) {
        plan.works[message.first + i] = unpackWork(wire, this.#memory);
        plan.columns[message.first + i] = wire.columns;
      }
    } else if (message.kind === 'arrays') {
      for (const [work, arrays] of message.changes) unpackArrays(plan.works[work]!, arrays, this.#memory);
    } else {
      for (const old of message.forget) this.#plans.delete(old);
      this.#help(plan, message.step);
    }
  }

  /** Claims and does items until the step is over. */
  #help(plan: Plan, step: number): void {
    const words = this.#words;
    const { strip, passes } = this.#tools.get(plan.rule)!;
    // Memory that runs out here does not tear anything.
    for (const work of plan.works) strip.reserve(work);
    for (;;) {
      const serial = Atomics.load(words, SERIAL);
      if (Atomics.load(words, STEP) !== step) return;
      const pass = passes[Atomics.load(words, PASS)]!;
      const to = Atomics.load(words, TO);
      for (;;) {
        const item = claim(words, plan, serial, to, this.#who);
        if (item < 0) break;
        runItem(strip, pass, plan, item);
        finish(plan, serial, item);
      }
      for (let look = 0; look < LOOKS && Atomics.load(words, SERIAL) === serial; look++);
      Atomics.wait(words, SERIAL, serial, NAP);
    }
  }
}

/** Kernels on the shared memory, with an arena for this worker's strips. */
function sharedKernels({ memory, base, strips, level }: NonNullable<StartMessage['simd']>): Kernels {
  compileSimd('parallelKernels', true, 'pass simd: false', level);
  const arena = new Arena('parallelKernels', memory.buffer, base + RESERVED, strips);
  return {
    ...typescriptKernels,
    name: 'parallel',
    allocate: ((dtype: 'float32', length: number) => arena.allocate(dtype, length)) as Kernels['allocate'],
    fits: (dtype, length) => arena.fits(dtype, length),
    owns: (array) => arena.owns(array),
    free: (array) => arena.free(array),
    [ENGINE]: simdEngine(memory, arena, base, true, undefined, level),
  };
}

interface Port {
  postMessage(message: unknown): void;
  on(event: 'message', listener: (message: Message) => void): void;
}
interface Scope {
  postMessage(message: unknown): void;
  addEventListener(event: 'message', listener: (event: { data: Message }) => void): void;
}

/** Makes this worker one of those of `parallelKernels`. Outside a worker it does nothing. */
export async function runParallelWorker(): Promise<void> {
  const scope = globalThis as Partial<Scope>;
  let helper: Helper | undefined;
  const hear = (message: Message, answer: (text: string) => void): void => {
    if (message.kind !== 'start') {
      helper?.handle(message);
      return;
    }
    try {
      helper = new Helper(message);
      answer('ready');
    } catch (error) {
      answer(`cannot start: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const threads = nodeModule<{ parentPort: Port | null }>('worker_threads');
  if (threads === undefined) {
    scope.addEventListener!('message', ({ data }) => hear(data, (text) => scope.postMessage!(text)));
    return;
  }
  const { parentPort } = threads;
  parentPort?.on('message', (message) => hear(message, (text) => parentPort.postMessage(text)));
}
