/** `tensorless lr`, in this process. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { oneCycle } from 'tensorless';
import { afterAll, describe, expect, it } from 'vitest';
import { lr, NAMES } from '../src/command-line/lr.ts';
import { UsageError } from '../src/command-line/terminal.ts';

const folder = mkdtempSync(join(tmpdir(), 'tensorless-lr-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What a pipe has. */
const PIPE = { columns: 80, rows: 11, colour: false };

describe('tensorless lr', () => {
  const rates = async (...args: string[]): Promise<number[]> => {
    const out = await lr([...args, '--json'], PIPE);
    return (JSON.parse(out) as { rates: number[] }).rates;
  };

  it('draws a schedule in 80 columns', async () => {
    const out = await lr(['cosine', '--warmup', '100', '--steps', '1000'], PIPE);
    expect(out.split('\n').every((line) => line.length <= 80)).toBe(true);
    expect(out).toMatchInlineSnapshot(`
      "  cosine, warmup 100, steps 1000

         0.001 ┤      ⣸⠉⠉⠉⠉⠓⠒⠒⠦⠤⣄⣀⡀
               │     ⢠⠇           ⠉⠙⠒⠦⣄⣀
               │     ⡞                 ⠈⠙⠲⠤⣄⡀
               │    ⣸⠁                      ⠉⠓⢦⣀
               │   ⢠⠇                          ⠈⠙⠲⢤⣀
        0.0005 ┤   ⡼                               ⠈⠙⠦⣄⡀
               │  ⢰⠃                                   ⠉⠓⠦⣄⡀
               │ ⢀⡏                                        ⠙⠲⢤⣀
               │ ⡼                                            ⠈⠙⠲⠤⣄⡀
               │⢰⠃                                                 ⠉⠙⠲⠤⣄⣀
             0 ┤⡏                                                       ⠈⠉⠙⠒⠲⠤⠤⢤⣀⣀⣀⣀
                0               250              500              750           1000

        step     0  0           first
        step   100  0.001       highest
        step   999  3.04617e-9  last step
        step 1,000  0           lowest since, after the last
      "
    `);
  });

  it('fills a narrow and a wide terminal, and is coloured there', async () => {
    for (const columns of [50, 200]) {
      const out = await lr(['one_cycle'], { columns, rows: 8, colour: true });
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are taken away
      const plain = out.replaceAll(/\u001b\[\d*m/g, '').split('\n');
      expect(plain.every((line) => line.length <= columns)).toBe(true);
      expect(Math.max(...plain.map((line) => line.length))).toBeGreaterThan(Math.min(columns, 170) - 8);
      expect(plain.length).toBe(8 + 9);
      expect(out).toContain('\u001b[36m');
    }
  });

  it('draws every step on its own where there are few', async () => {
    expect(await lr(['linear', '--steps', '4', '--lr', '1'], PIPE)).toMatchInlineSnapshot(`
      "  linear, steps 4, lr 1

          1 ┤⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⢹
            │              ⢸
            │              ⢸⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀
            │                            ⢸
            │                            ⢸
        0.5 ┤                            ⠸⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⡄
            │                                           ⡇
            │                                           ⡇
            │                                           ⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⡇
            │                                                         ⡇
          0 ┤                                                         ⣇⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀
             0                1                 2                 3                4

        step 0  1     first, highest
        step 3  0.25  last step
        step 4  0     lowest, after the last
      "
    `);
  });

  it('gives the numbers of every schedule and of every curve, by any spelling of an option', async () => {
    expect(await rates('linear', '--warmup', '2', '--steps', '6', '--lr', '1')).toEqual([
      0, 0.5, 1, 0.75, 0.5, 0.25, 0,
    ]);
    expect(await rates('multi-step', '--milestones', '2,3', '--gamma=0.5', '--lr', '1', '--steps', '4')).toEqual([
      1, 1, 0.5, 0.25, 0.25,
    ]);
    expect(await rates('multi_step', '--milestones', '1', '--steps', '2', '--lr', '1')).toEqual([1, 0.1, 0.1]);
    const curve = oneCycle({ totalSteps: 9, threePhase: true, pctStart: 0.4 });
    const expected = Array.from({ length: 10 }, (_, step) => 1e-3 * curve(step));
    expect(await rates('one_cycle', '--steps', '9', '--three-phase', '--pctStart', '0.4')).toEqual(expected);
    expect(await rates('one_cycle', '--total-steps', '9', '--three-phase', '--pct-start', '0.4')).toEqual(expected);
    expect(await rates('polynomial', '--lr-end', '0.5', '--steps', '2', '--lr', '1')).toEqual([1, 0.75, 0.5]);
    expect(await rates('cosine_with_min_lr', '--min-lr', '0.5', '--steps', '2', '--lr', '1')).toEqual([1, 0.75, 0.5]);
    const wsd = ['warmup_stable_decay', '--warmup', '1', '--decay', '2', '--decay-type', 'linear', '--lr', '1'];
    expect(await rates(...wsd, '--steps', '5')).toEqual([0, 1, 1, 1, 0.5, 0]);
    expect(await rates(...wsd, '--stable', '1', '--steps', '5')).toEqual([0, 1, 1, 0.5, 0, 0]);
    expect(await rates('adafactor', '--steps', '2')).toEqual([0.01, 0.01, 0.01]);
    expect(await rates('adafactor', '--steps', '1', '--warmup-init')).toEqual([1e-6, 2e-6]);
  });

  it('follows a metric, given or in a file', async () => {
    const path = join(folder, 'losses.txt');
    writeFileSync(path, '3\n2\n2\n2\n');
    const options = ['--patience', '0', '--factor', '0.5', '--lr', '1'];
    expect(await rates('reduce_lr_on_plateau', '--metric', path, ...options)).toEqual([1, 1, 1, 0.5, 0.25]);
    expect(await rates('reduce_lr_on_plateau', '--metric', '3,2,2,2', ...options)).toEqual([1, 1, 1, 0.5, 0.25]);
  });

  it('draws every name', async () => {
    for (const name of NAMES) {
      const more =
        { step: ['--step-size', '9'], multi_step: ['--milestones', '9'], exponential: ['--gamma', '0.9'] }[name] ??
        (/plateau|greedy/.test(name) ? ['--metric', '3,2'] : /min_lr/.test(name) ? ['--min-lr-rate', '0.1'] : []);
      const decay = name === 'warmup_stable_decay' ? ['--decay', '9'] : [];
      expect(await lr([name, ...more, ...decay], PIPE), name).toContain('first');
    }
  });

  it.each<[string[], RegExp]>([
    [[], /name a schedule: linear, cosine/],
    [['cosin'], /schedule must be one of .*got "cosin"\. Did you mean "cosine"\?$/],
    [['cosine', 'linear'], /takes one schedule, got cosine, linear/],
    [['cosine', '--min-lr', '1e-4'], /cosine has no option --min-lr; it has --warmup, --steps, --cycles, --lr$/],
    [['cosine', '--warmup', 'x'], /--warmup must be an integer at least 0, got "x"$/],
    [['cosine_with_min_lr'], /give --min-lr, such as 1e-5, or --min-lr-rate, such as 0\.1$/],
    [['step'], /step needs --step-size, such as --step-size 100$/],
    [['linear', '--steps', '1e9'], /--steps must be a finite number at least 1 and at most 10000000, got 1000000000/],
    [['greedy'], /greedy follows a metric: give --metric 3\.1,2\.7,2\.7, or a file/],
    [['greedy', '--metric', '3,x'], /3,x: there is no such file/],
    [['greedy', '--metric', '3,1-2'], /--metric: number 2 must be a finite number, got NaN/],
  ])('refuses %j', async (args, message) => {
    await expect(lr(args, PIPE)).rejects.toThrow(message);
    await expect(lr(args, PIPE)).rejects.toBeInstanceOf(UsageError);
  });
});
