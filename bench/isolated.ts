/**
 * A contestant in a process of its own, as its users have it. In one process they would slow each
 * other down: once one of them has detached an ArrayBuffer (a WebAssembly memory that grows does),
 * V8 tests for it in every access to every typed array, and loops that have seen several kinds of
 * arrays are compiled for all of them.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Contestant, Formula, Running, Shape } from './contestants.ts';

/** What isolated-process.ts is asked, and answers. */
export type Question =
  | { readonly do: 'start'; readonly formula: Formula; readonly name: string; readonly shapes: readonly Shape[] }
  | { readonly do: 'measure'; readonly milliseconds: number }
  | { readonly do: 'advance'; readonly steps: number }
  | { readonly do: 'stretch'; readonly steps: number; readonly gradient: number };
export type Answer = { readonly value: unknown } | { readonly error: string };

async function ask(child: ChildProcess, question: Question): Promise<unknown> {
  const gone = new AbortController();
  try {
    child.send(question);
    const answered = once(child, 'message', gone) as Promise<[Answer]>;
    const ended = once(child, 'exit', gone).then(([code]) => {
      throw new Error(`a contestant's process ended with ${String(code)} at ${JSON.stringify(question)}`);
    });
    const [answer] = await Promise.race([answered, ended]);
    if ('error' in answer) throw new Error(answer.error);
    return answer.value;
  } finally {
    gone.abort();
  }
}

/** The same contestant, started anew in a process for each case. */
export function isolated(contestant: Contestant): Contestant {
  const { formula, name } = contestant;
  return {
    ...contestant,
    async start(shapes): Promise<Running> {
      const child = fork(fileURLToPath(new URL('isolated-process.ts', import.meta.url)), { serialization: 'advanced' });
      await ask(child, { do: 'start', formula, name, shapes });
      return {
        measure: (milliseconds) => ask(child, { do: 'measure', milliseconds }) as Promise<number>,
        advance: (steps) => ask(child, { do: 'advance', steps }) as Promise<Float32Array>,
        stretch: (steps, gradient) => ask(child, { do: 'stretch', steps, gradient }) as Promise<number>,
        async close() {
          const ended = once(child, 'exit');
          child.kill();
          await ended;
        },
      };
    },
  };
}
