/** PyTorch, in a process of its own that waits while others are measured. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Contestant, DECAY, type Running, WINDOW } from './contestants.ts';

/**
 * The Python to ask: TENSORLESS_PYTHON, the project's own virtual environment, or the system's;
 * undefined without PyTorch.
 */
export function findPython(): string | undefined {
  const own = fileURLToPath(new URL('../.venv/bin/python', import.meta.url));
  const candidates = [process.env.TENSORLESS_PYTHON, existsSync(own) ? own : undefined, 'python3'];
  return candidates.find(
    (path) => path !== undefined && spawnSync(path, ['-c', 'import torch, transformers']).status === 0,
  );
}

/**
 * "As installed" glibc gives large temporaries back to the system after each operation, and the
 * page faults of getting them again are half of a step; "at its best" it keeps them.
 */
export type Allocation = 'as installed' | 'at its best';

const KEEP_MEMORY = {
  MALLOC_MMAP_MAX_: '0',
  MALLOC_TRIM_THRESHOLD_: String(2 ** 40),
  MALLOC_TOP_PAD_: String(2 ** 26),
};

export class Torch {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #lines: Interface;

  constructor(python: string, allocation: Allocation) {
    const script = fileURLToPath(new URL('pytorch.py', import.meta.url));
    this.#process = spawn(python, [script], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...(allocation === 'at its best' ? KEEP_MEMORY : {}) },
    });
    this.#lines = createInterface({ input: this.#process.stdout! });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  async ask<T>(command: Record<string, unknown>): Promise<T> {
    this.#process.stdin!.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error(`PyTorch ended at ${JSON.stringify(command)}`);
    return JSON.parse(value) as T;
  }

  close(): void {
    this.#process.stdin!.end();
    this.#lines.close();
  }

  contestant(kind: string, name: string, threads: number): Contestant {
    return {
      ...described(kind, name),
      // One process holds one contestant at a time, so that memory of others is not in its way; it
      // starts again at each turn.
      start: async (shapes) => {
        const start = (): Promise<unknown> => this.ask({ do: 'start', kind, shapes, threads });
        await start();
        const running = this.#running((milliseconds) => this.ask({ do: 'measure', milliseconds: milliseconds / 5 }));
        return { ...running, measure: async (milliseconds) => start().then(() => running.measure(milliseconds)) };
      },
    };
  }

  /** What has been started, with its warming-up before each turn. */
  #running(warm: (milliseconds: number) => Promise<unknown>): Running {
    return {
      measure: async (milliseconds) => {
        await warm(milliseconds);
        return (await this.ask<{ nanoseconds: number }>({ do: 'measure', milliseconds })).nanoseconds;
      },
      advance: async (steps) => {
        const { weights } = await this.ask<{ weights: string }>({ do: 'advance', steps });
        const bytes = Buffer.from(weights, 'base64');
        return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
      },
      stretch: async (steps, gradient) =>
        (await this.ask<{ nanoseconds: number }>({ do: 'stretch', steps, gradient, window: WINDOW })).nanoseconds,
      close() {},
    };
  }

  /**
   * A contestant that takes seconds over its first steps (it compiles at the first, and once more
   * when the step count has become a number that changes), which the round that is not counted
   * takes up: it has a process of its own for a whole case.
   */
  static lasting(python: string, kind: string, name: string, threads: number): Contestant {
    return {
      ...described(kind, name),
      async start(shapes) {
        const torch = new Torch(python, 'at its best');
        await torch.ask({ do: 'start', kind, shapes, threads });
        return { ...torch.#running(async () => {}), close: () => torch.close() };
      },
    };
  }
}

function described(kind: string, name: string): Pick<Contestant, 'name' | 'formula' | 'decay'> {
  if (kind === 'torch clip_grad_norm_') return { name, formula: 'clip', decay: 0 };
  if (kind === 'torch _foreach_add_') return { name, formula: 'accumulate', decay: 0 };
  const adamw = kind.includes('AdamW');
  return { name, formula: adamw ? 'adamw' : 'adafactor', decay: adamw ? DECAY : 0 };
}
