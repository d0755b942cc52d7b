/**
 * The pictures of docs/schedules.md, drawn from the library's own schedulers:
 *
 *   npx tsx docs/schedules/pictures.ts
 *
 * test/schedule-pictures.test.ts draws them again and compares.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import {
  Adafactor,
  AdafactorSchedule,
  AdamW,
  type Curve,
  constant,
  constantWithWarmup,
  cosineAnnealing,
  cosineWarmupWithMinLr,
  cosineWithHardRestarts,
  cosineWithWarmup,
  exponential,
  getGreedySchedule,
  getReduceOnPlateauSchedule,
  inverseSqrt,
  type LRScheduler,
  linearWithWarmup,
  multiStep,
  oneCycle,
  Parameter,
  polynomialDecayWithWarmup,
  scale,
  sequential,
  step,
  type WsdShape,
  warmupStableDecay,
} from 'tensorless';
import { themed } from '../build/themed.ts';

interface Line {
  readonly label: string;
  readonly values: readonly number[];
  /** Steps from one value to the next; 1 where left out. */
  readonly every?: number;
}

/** The relative step of Adafactor is constant for 10,000 steps, so its picture looks further. */
const FAR = 40;

const STEPS = 1000;
const COLOURS = ['#0969da', '#bc4c00', '#1a7f37', '#8250df'];

const of = (label: string, curve: Curve): Line => ({
  label,
  values: Array.from({ length: STEPS + 1 }, (_, step) => curve(step)),
});

/** A loss that falls, rests and falls again, for the schedules that watch one. */
export function loss(step: number): number {
  const level = step < 300 ? 3 - step / 150 : step < 550 ? 1 : step < 700 ? 1 - (step - 550) / 300 : 0.5;
  return level + 0.03 * Math.sin(step * 12.9898);
}

function stepped(label: string, make: (optimizer: AdamW) => LRScheduler): Line {
  const weight = new Parameter(new Float32Array(1));
  weight.grad = new Float32Array(1);
  const optimizer = new AdamW([weight], { lr: 1 });
  const scheduler = make(optimizer);
  const values = Array.from({ length: STEPS + 1 }, (_, step) => {
    const [lr] = scheduler.getLastLr();
    optimizer.step();
    scheduler.step(loss(step));
    return lr!;
  });
  return { label, values };
}

/** What Adafactor computes for a weight whose root mean square is 1. */
function relative(label: string, warmupInit: boolean): Line {
  const parameter = new Parameter(new Float32Array(1).fill(1), [1]);
  const optimizer = new Adafactor([parameter], { warmupInit, scaleParameter: false });
  const scheduler = new AdafactorSchedule(optimizer);
  const values = Array.from({ length: STEPS + 1 }, () => {
    for (let i = 0; i < FAR; i++) {
      parameter.grad = Float32Array.of(1e-20);
      optimizer.step();
      scheduler.step();
    }
    return scheduler.getLastLr()[0]!;
  });
  return { label, values, every: FAR };
}

const w = { numWarmupSteps: 100 };
const wT = { ...w, numTrainingSteps: STEPS };
const wsd = (decayType: WsdShape): Line =>
  of(decayType, warmupStableDecay({ ...w, numStableSteps: 500, numDecaySteps: 400, warmupType: decayType, decayType }));

/** Lines of each picture, and whether their axis is the factor or something else. */
const PICTURES: Readonly<Record<string, readonly [lines: () => Line[], axis?: string]>> = {
  constant: [() => [of('constant', constant())]],
  constant_with_warmup: [
    () => [
      of('numWarmupSteps: 100', constantWithWarmup(w)),
      of('numWarmupSteps: 400', constantWithWarmup({ numWarmupSteps: 400 })),
    ],
  ],
  linear: [() => [of('linear', linearWithWarmup(wT))]],
  cosine: [
    () => [
      of('numCycles: 0.5', cosineWithWarmup(wT)),
      of('numCycles: 1.5', cosineWithWarmup({ ...wT, numCycles: 1.5 })),
    ],
  ],
  cosine_with_restarts: [() => [of('numCycles: 3', cosineWithHardRestarts({ ...wT, numCycles: 3 }))]],
  cosine_with_min_lr: [
    () => [
      of('minLrRate: 0.1', cosineWithWarmup({ ...wT, minLrRate: 0.1 })),
      of('minLrRate: 0.4', cosineWithWarmup({ ...wT, minLrRate: 0.4 })),
    ],
  ],
  cosine_warmup_with_min_lr: [
    () => [
      of('warmupLrRate: null', cosineWarmupWithMinLr({ ...wT, minLrRate: 0.1 })),
      of('warmupLrRate: 0.4', cosineWarmupWithMinLr({ ...wT, minLrRate: 0.1, warmupLrRate: 0.4 })),
    ],
  ],
  polynomial: [
    () =>
      [0.5, 1, 2, 4].map((power) =>
        of(`power: ${power}`, polynomialDecayWithWarmup({ ...wT, lrInit: 1, lrEnd: 0.05, power })),
      ),
  ],
  inverse_sqrt: [
    () => [of('timescale: 100', inverseSqrt(w)), of('timescale: 1000', inverseSqrt({ ...w, timescale: 1000 }))],
  ],
  warmup_stable_decay: [() => (['linear', 'cosine', '1-sqrt'] as const).map(wsd)],
  reduce_lr_on_plateau: [
    () => [
      stepped('learning rate', (optimizer) => getReduceOnPlateauSchedule(optimizer, { patience: 60, factor: 0.5 })),
      { label: 'loss / 3', values: Array.from({ length: STEPS + 1 }, (_, step) => loss(step) / 3) },
    ],
    '↑ factor, loss / 3',
  ],
  greedy: [
    () => [
      stepped('learning rate', (optimizer) =>
        getGreedySchedule(optimizer, {
          patience: 20,
          factor: 0.95,
          minLr: 0.05,
          maxLr: 1.5,
          smooth: true,
          windowSize: 20,
        }),
      ),
      { label: 'loss / 3', values: Array.from({ length: STEPS + 1 }, (_, step) => loss(step) / 3) },
    ],
    '↑ factor, loss / 3',
  ],
  adafactor: [() => [relative('warmupInit: false', false), relative('warmupInit: true', true)], '↑ relative step ρ'],
  step: [() => [of('stepSize: 250', step({ stepSize: 250, gamma: 0.5 }))]],
  multi_step: [() => [of('milestones: [400, 800]', multiStep({ milestones: [400, 800], gamma: 0.3 }))]],
  exponential: [
    () => [of('gamma: 0.998', exponential({ gamma: 0.998 })), of('gamma: 0.99', exponential({ gamma: 0.99 }))],
  ],
  cosine_annealing: [
    () => [
      of('cosineAnnealing, tMax: 700', cosineAnnealing({ tMax: 700, minLrRate: 0.1 })),
      of(
        'cosineWithWarmup, which goes up again',
        cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 700, minLrRate: 0.1 }),
      ),
    ],
  ],
  one_cycle: [
    () => [
      of('annealStrategy: cos', oneCycle({ totalSteps: STEPS })),
      of('linear, threePhase: true', oneCycle({ totalSteps: STEPS, annealStrategy: 'linear', threePhase: true })),
    ],
  ],
  composed: [
    () => [
      of(
        'warm-up, constant, cosine, a tenth',
        sequential(
          [constantWithWarmup(w), 400],
          [cosineWithWarmup({ numWarmupSteps: 0, numTrainingSteps: 400, minLrRate: 0.1 }), 400],
          [scale(constant(), 0.1)],
        ),
      ),
    ],
  ],
};

const WIDTH = 640;
const HEIGHT = 220;

function draw(lines: readonly Line[], axis = '↑ factor'): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const points = lines.flatMap(({ label, values, every = 1 }) =>
    values.map((value, i) => ({ label, step: i * every, value })),
  );
  const svg = Plot.plot({
    document,
    width: WIDTH,
    height: HEIGHT - (lines.length > 1 ? 26 : 0),
    marginLeft: 48,
    marginRight: 26,
    marginBottom: 34,
    style: { color: '#1f2328', fontFamily: 'system-ui, sans-serif', fontSize: '12px', overflow: 'visible' },
    color: { domain: lines.map(({ label }) => label), range: COLOURS.slice(0, lines.length) },
    x: { label: 'step →', domain: [0, STEPS * (lines[0]?.every ?? 1)] },
    y: { label: axis, grid: true, zero: true, ticks: 5, tickFormat: '~g' },
    marks: [Plot.line(points, { x: 'step', y: 'value', stroke: 'label', strokeWidth: 2 })],
  });
  // Two decimals of a pixel: less than an eye or another machine's last bit would notice.
  const text = svg.outerHTML.replace(/-?\d+\.\d{5,}/g, (number: string) =>
    String(Math.round(Number(number) * 100) / 100),
  );
  let at = 48;
  const legend =
    lines.length === 1
      ? ''
      : lines
          .map(({ label }, i) => {
            const x = at;
            at += 34 + label.length * 7.4;
            return (
              `<rect x="${x.toFixed(0)}" y="9" width="12" height="12" rx="2" fill="${COLOURS[i]}"/><text ` +
              `x="${(x + 17).toFixed(0)}" y="19" font-family="system-ui, sans-serif" font-size="12" fill="#1f2328">${label}</text>`
            );
          })
          .join('');
  return themed(`<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${lines.map(({ label }) => label).join(', ')}">
<rect width="${WIDTH}" height="${HEIGHT}" rx="6" fill="#ffffff"/>
${legend}${text.replace('<svg ', `<svg y="${lines.length > 1 ? 26 : 0}" `)}
</svg>
`);
}

/** Every picture by its name. */
export function pictures(): Map<string, string> {
  return new Map(Object.entries(PICTURES).map(([name, [lines, axis]]) => [name, draw(lines(), axis)]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, svg] of pictures()) writeFileSync(fileURLToPath(new URL(`${name}.svg`, import.meta.url)), svg);
}
