/**
 * A patch release changes no bit of any trajectory. Each line is the hash of a short one: when it
 * changes, either something broke, or the change goes into a minor release and is told in the
 * changelog (`npx vitest run --config test/vitest.config.ts no-regression -u`).
 */
import { createHash } from 'node:crypto';
import { getScheduler, type OptimizerStateDict, type SchedulerName, SchedulerType } from 'tensorless';
import { expect, it } from 'vitest';
import { cases, exactly, model, setGradients, weightBits } from './_optimizers.ts';
import { optimizerWith } from './golden-schedules.ts';

/** Names are no part of a trajectory: these lines are older than `param_names` in state dicts. */
function nameless(dict: OptimizerStateDict): OptimizerStateDict {
  for (const group of dict.param_groups) delete group.param_names;
  return dict;
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

/** Eight steps in every format, rounded to nearest and stochastically. */
function trajectories(of: (name: string) => boolean): string {
  const chosen = cases.filter(({ name }) => of(name));
  const lines = chosen.flatMap(({ name, dtype, make }) =>
    (['nearest', 'stochastic'] as const).map((rounding) => {
      const parameters = model(dtype, 11);
      const optimizer = make(parameters, { rounding, seed: 5 });
      for (let step = 1; step <= 8; step++) {
        setGradients(parameters, step);
        optimizer.step();
      }
      return (
        `${name}, ${dtype}, ${rounding}: ` +
        `${hash(weightBits(parameters).join() + exactly(nameless(optimizer.stateDict())))}`
      );
    }),
  );
  return lines.join('\n');
}

it('Lion', () => {
  expect(trajectories((name) => name === 'Lion')).toMatchInlineSnapshot(`
    "Lion, float32, nearest: 2d8c62290b4d50a5
    Lion, float32, stochastic: ffe3992e104b65cb
    Lion, float64, nearest: 0d23912b8e6d0afd
    Lion, float64, stochastic: 896461e4823623c5
    Lion, bfloat16, nearest: 990343981f95f786
    Lion, bfloat16, stochastic: b154c09fbffcefe4
    Lion, float16, nearest: e673480f3aba9ec0
    Lion, float16, stochastic: 7ace1faef92c24d8"
  `);
});

it('SGD', () => {
  expect(trajectories((name) => name.startsWith('SGD'))).toMatchInlineSnapshot(`
    "SGD, float32, nearest: 4a7be5eb25067e5d
    SGD, float32, stochastic: 0bb1dc1eea8b82c5
    SGD, float64, nearest: ce2203eae1d75f03
    SGD, float64, stochastic: c1f9b6d2f94e1cd5
    SGD, bfloat16, nearest: 7196a14f58789c2e
    SGD, bfloat16, stochastic: 484c9608b0be6e39
    SGD, float16, nearest: 6658dd6c32bbb3cd
    SGD, float16, stochastic: 24f17fe6566415d3
    SGD momentum, float32, nearest: 5a41516331512bb7
    SGD momentum, float32, stochastic: 0eb0e6e48a369036
    SGD momentum, float64, nearest: ab07c6d62e541969
    SGD momentum, float64, stochastic: f42f297ec625b763
    SGD momentum, bfloat16, nearest: 8b6782ffa2ca6703
    SGD momentum, bfloat16, stochastic: d8307fb47b460353
    SGD momentum, float16, nearest: 3a1cfe452364c5a3
    SGD momentum, float16, stochastic: 908b9d0a493a76a2
    SGD nesterov, float32, nearest: 9bceea1cac64ff46
    SGD nesterov, float32, stochastic: 99171d87f9eb7173
    SGD nesterov, float64, nearest: 013f4e86c2b702bf
    SGD nesterov, float64, stochastic: da4c819fad88743e
    SGD nesterov, bfloat16, nearest: 4e9d3d78549a22ed
    SGD nesterov, bfloat16, stochastic: 0e93709efbacdce1
    SGD nesterov, float16, nearest: b387ef379e33e751
    SGD nesterov, float16, stochastic: 90ed942accd55ab2"
  `);
});

it('Adafactor and AdamW', () => {
  expect(trajectories((name) => name.startsWith('Ada'))).toMatchInlineSnapshot(`
    "Adafactor, float32, nearest: e1b22753484bab6e
    Adafactor, float32, stochastic: 83868a9d34d02204
    Adafactor, float64, nearest: 5620a8b0a023f798
    Adafactor, float64, stochastic: 185e76276fde8540
    Adafactor, bfloat16, nearest: 4bf4f8bd4c7c6263
    Adafactor, bfloat16, stochastic: 220be71de065e48c
    Adafactor, float16, nearest: e84bd973aa1d1f0e
    Adafactor, float16, stochastic: d64f3a8e04482320
    Adafactor lr, float32, nearest: ee2e28ea64e2c086
    Adafactor lr, float32, stochastic: 6d44750f3df2ae2f
    Adafactor lr, float64, nearest: 3f758510b9753fb4
    Adafactor lr, float64, stochastic: ad20b78b3db44149
    Adafactor lr, bfloat16, nearest: aa03c2d0beb2f5b2
    Adafactor lr, bfloat16, stochastic: 16207973772f45d0
    Adafactor lr, float16, nearest: dfabefca70722b11
    Adafactor lr, float16, stochastic: eb14523f226d8b93
    Adafactor beta1, float32, nearest: 72f7b42b1bcda371
    Adafactor beta1, float32, stochastic: db1bdddf400cd5d7
    Adafactor beta1, float64, nearest: 12f1013cb8620516
    Adafactor beta1, float64, stochastic: f481d500357f2aec
    Adafactor beta1, bfloat16, nearest: 282ed74d6988d1c7
    Adafactor beta1, bfloat16, stochastic: 78723ba0bc1cae16
    Adafactor beta1, float16, nearest: ad49f9203ccc3e6c
    Adafactor beta1, float16, stochastic: 1bde4064c5034b79
    AdamW, float32, nearest: 3d9fe3bebd795522
    AdamW, float32, stochastic: 002ef470e4f58645
    AdamW, float64, nearest: 5c1d64e31406f79d
    AdamW, float64, stochastic: 636e00953d5c6b91
    AdamW, bfloat16, nearest: 62915b0d73a07e2a
    AdamW, bfloat16, stochastic: 35ab22b47bdd8c6a
    AdamW, float16, nearest: 88257d64a060ae6c
    AdamW, float16, stochastic: ea8a7e82034403e5
    AdamW amsgrad, float32, nearest: fa6b09c932ac1878
    AdamW amsgrad, float32, stochastic: efca027675dcc442
    AdamW amsgrad, float64, nearest: 154682627a4349ca
    AdamW amsgrad, float64, stochastic: 3e3759105bef6d20
    AdamW amsgrad, bfloat16, nearest: b6a6937cb30d3699
    AdamW amsgrad, bfloat16, stochastic: 99c240d9f2521ee0
    AdamW amsgrad, float16, nearest: 84a685aea991badc
    AdamW amsgrad, float16, stochastic: ddc70bdddaad17a4
    AdamW uncorrected, float32, nearest: cd09b9e90aa6d256
    AdamW uncorrected, float32, stochastic: ca9fad445b2a84dc
    AdamW uncorrected, float64, nearest: ba2b63f1884a85c4
    AdamW uncorrected, float64, stochastic: 0f1398b60d47a652
    AdamW uncorrected, bfloat16, nearest: cb1f551c10a1d086
    AdamW uncorrected, bfloat16, stochastic: 4a6630195eea6783
    AdamW uncorrected, float16, nearest: 84ed23e88c0043b8
    AdamW uncorrected, float16, stochastic: 6889008ebf98dff4"
  `);
});

it('schedules: fifty learning rates by name', () => {
  const special: Partial<Record<SchedulerName, Record<string, unknown>>> = {
    cosine_with_min_lr: { minLrRate: 0.1 },
    cosine_warmup_with_min_lr: { minLrRate: 0.1 },
    warmup_stable_decay: { numDecaySteps: 20, decayType: '1-sqrt' },
    polynomial: { power: 1.3 },
    reduce_lr_on_plateau: { patience: 1 },
    greedy: { patience: 1, smooth: true },
  };
  const plain = new Set<SchedulerName>(['constant', 'reduce_lr_on_plateau', 'greedy']);
  const lines = Object.values(SchedulerType).map((name) => {
    const scheduler = getScheduler<SchedulerName>(name, optimizerWith([0.1, 0.03]), {
      ...(!plain.has(name) && { numWarmupSteps: 7, numTrainingSteps: 45 }),
      schedulerSpecificKwargs: special[name] ?? {},
    });
    const lrs = Array.from({ length: 50 }, (_, step) => {
      const last = scheduler.getLastLr();
      scheduler.optimizer.step();
      scheduler.step(((step * 13) % 7) / 7);
      return last;
    });
    return `${name}: ${hash(exactly(lrs.map((rates) => Float64Array.from(rates))))}`;
  });
  expect(lines.join('\n')).toMatchInlineSnapshot(`
    "linear: 7fc9fa332b2b6a0e
    cosine: 1496ac4b7b6dfc9e
    cosine_with_restarts: 35a418eac8a28582
    polynomial: ee8239b21592bd85
    constant: 290d2a46d374c237
    constant_with_warmup: 7c405b5d3464bc5a
    inverse_sqrt: c0d811daf553c185
    reduce_lr_on_plateau: 0325d2392c68e341
    cosine_with_min_lr: 79435b0f083645f6
    cosine_warmup_with_min_lr: 4dc74d8eb463ce87
    warmup_stable_decay: 446de88315e7f443
    greedy: 6629f54a004c20b1"
  `);
});
