/** What a bundler makes of the package for one optimizer with one schedule. */
import { expect, it } from 'vitest';
import { bundle } from '../bench/size.ts';

it('Adafactor with one schedule: minified, gzipped, and nothing of SIMD, formats or other optimizers', async () => {
  const { bytes, files } = await bundle(
    `export { Adafactor, getLinearScheduleWithWarmup, Parameter } from 'tensorless';`,
  );
  console.log(`Adafactor, Parameter and getLinearScheduleWithWarmup: ${(bytes / 1000).toFixed(1)} kB`);
  for (const absent of [
    'simd.ts',
    'simd/wasm-loops.ts',
    'simd/module.ts',
    'threads/driver.ts',
    'parallel.ts',
    'simd/bytes.ts',
    'simd/arena.ts',
    'torch.ts',
    'formats/zip-read.ts',
    'formats/torch/files.ts',
    'checkpoint.ts',
    'safetensors.ts',
    'optimizers/adamw.ts',
    'optimizers/lion.ts',
    'schedules/greedy.ts',
    'schedules/plateau.ts',
    'gradients/accumulator.ts',
    'tfjs.ts',
    'jax.ts',
    'loops/adam.ts',
    'loops/sign-momentum.ts',
    'sixteen/low-precision.ts',
    'sixteen/fast.ts',
    'loops/generated/matrix16.ts',
  ])
    expect(files).not.toContain(absent);
  expect(bytes).toBeLessThan(20_500);
});

it('a bundle without the fast 16-bit loops trains 16-bit weights to the same bits', async () => {
  const train = `
    const seen = [];
    for (const dtype of ['bfloat16', 'float16']) {
      const bits = (salt) => Uint16Array.from({ length: 60 }, (_, k) => 0x3800 + ((k * salt) % 1009));
      const weight = new Parameter(bits(7919), [10, 6], { dtype });
      const optimizer = new Adafactor([weight], { beta1: 0.9 });
      for (let step = 0; step < 3; step++) {
        weight.grad = bits(104729 + step);
        optimizer.step();
      }
      seen.push(...weight.data);
    }
    export default seen;`;
  const lean = await bundle(`import { Adafactor, Parameter } from 'tensorless'; ${train}`);
  const whole = await bundle(
    `import { Adafactor, Parameter, toBfloat16 } from 'tensorless'; toBfloat16([1]); ${train}`,
  );
  expect(lean.files).not.toContain('sixteen/fast.ts');
  expect(whole.files).toContain('sixteen/fast.ts');
  expect(whole.files).toContain('loops/generated/matrix16.ts');
  const run = async ({ text }: { text: string }): Promise<number[]> =>
    ((await import(`data:text/javascript,${encodeURIComponent(text)}`)) as { default: number[] }).default;
  expect(await run(lean)).toEqual(await run(whole));
});

it('curves alone are small', async () => {
  const { bytes } = await bundle(`export { linearWithWarmup } from 'tensorless';`);
  console.log(`linearWithWarmup: ${(bytes / 1000).toFixed(1)} kB`);
  expect(bytes).toBeLessThan(2_500);
});
