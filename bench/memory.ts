/**
 * What optimizers take in memory, measured over T5-small in a process each: the bytes of their
 * state, and by how much two steps raise the process's memory at their peak, as Linux tells it.
 *
 * `node --import tsx bench/memory.ts adafactor` prints one measurement of this library's.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Adafactor, AdamW, Parameter } from 'tensorless';
import { Torch } from './pytorch.ts';
import type { Memory } from './results.ts';
import { MODELS, matrices } from './t5.ts';

const MODEL = 'T5-small';
const FILE = fileURLToPath(import.meta.url);

/** Bytes of the process at its peak, since the last reset; null where the system does not tell. */
function highWater(reset: boolean): number | null {
  try {
    if (reset) writeFileSync('/proc/self/clear_refs', '5');
    return 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
  } catch {
    return null;
  }
}

function measured(formula: string): { state: number; peak: number | null } {
  const parameters = matrices(MODELS[MODEL]!).map(([rows, cols]) => {
    const parameter = new Parameter(new Float32Array(rows * cols).fill(0.5), [rows, cols]);
    parameter.grad = new Float32Array(rows * cols).fill(0.25);
    return parameter;
  });
  const optimizer = formula === 'adafactor' ? new Adafactor(parameters) : new AdamW(parameters);
  const before = highWater(true);
  for (let step = 0; step < 2; step++) optimizer.step();
  const after = highWater(false);
  let state = 0;
  for (const entry of Object.values(optimizer.stateDict().state)) {
    for (const value of Object.values(entry as Record<string, unknown>)) {
      state += (value as { data?: Float32Array }).data?.byteLength ?? 0;
    }
  }
  return { state, peak: before === null ? null : after! - before };
}

/** This library's, and PyTorch's where there is a Python. */
export async function memory(python: string | undefined, progress: (text: string) => void): Promise<Memory> {
  const rows: { name: string; state: number; peak: number | null }[] = [];
  for (const formula of ['adafactor', 'adamw']) {
    const name = `${formula === 'adafactor' ? 'Adafactor' : 'AdamW'}, tensorless`;
    progress(`Memory: ${name}`);
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', 'tsx', FILE, formula], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
    rows.push({ name, ...(JSON.parse(stdout) as ReturnType<typeof measured>) });
  }
  const kinds = ['transformers Adafactor', 'torch AdamW foreach', 'torch AdamW fused'];
  for (const kind of python === undefined ? [] : kinds) {
    progress(`Memory: ${kind}`);
    const torch = new Torch(python!, 'as installed');
    const shapes = matrices(MODELS[MODEL]!);
    rows.push({ name: kind, ...(await torch.ask<ReturnType<typeof measured>>({ do: 'memory', kind, shapes })) });
    torch.close();
  }
  return { model: MODEL, rows };
}

const [, program, formula] = process.argv;
if (program === FILE && formula !== undefined) process.stdout.write(JSON.stringify(measured(formula)));
