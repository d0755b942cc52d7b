/**
 * Every form of `.pt`, both ways: PyTorch's files are read and written again, and PyTorch judges
 * them.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { StateValue } from 'tensorless';
import { decodeTorch, encodeTorch } from 'tensorless/torch';
import { comparable, type Expected, wanted } from '../_torch-expected.ts';

const maker = fileURLToPath(new URL('../vectors/torch-files/make_torch_files.py', import.meta.url));
const judge = fileURLToPath(new URL('forms.py', import.meta.url));

/**
 * @param folder - An empty folder for the files.
 * @param python - Runs a Python program with PyTorch and gives what it prints; throws when it
 *   fails.
 * @param check - Told of every result: 0 is good.
 */
export function checkForms(
  folder: string,
  python: (...args: string[]) => string,
  check: (name: string, figure: number, most: number) => void,
): void {
  const program = join(folder, 'make_torch_files.py');
  copyFileSync(maker, program);
  python(program);
  const version = readdirSync(folder).find((name) => /^\d/.test(name))!;
  const at = (name: string): string => join(folder, version, name);
  for (const name of ['mine', 'checkpoints']) mkdirSync(join(folder, name));
  const expected = JSON.parse(readFileSync(at('expected.json'), 'utf8')) as Record<string, Expected>;
  let differing = 0;
  for (const [name, recorded] of Object.entries(expected)) {
    const value = decodeTorch(readFileSync(at(`${name}.pt`)));
    if (!isDeepStrictEqual(comparable(value), comparable(wanted(recorded) as StateValue))) differing++;
    writeFileSync(join(folder, 'mine', `${name}.pt`), encodeTorch({ value }));
  }
  check(`${Object.keys(expected).length} files of PyTorch ${version}, read`, differing, 0);
  const { model, optimizer, scheduler } = decodeTorch(readFileSync(at('checkpoint.pt'))) as Record<string, StateValue>;
  writeFileSync(
    join(folder, 'checkpoints/nested.pt'),
    encodeTorch({ model: model!, scheduler: scheduler!, nested: [{ epoch: 1, optimizer: optimizer! }] }),
  );
  console.log(python(judge, folder).trim().replaceAll(/^/gm, '      '));
}
