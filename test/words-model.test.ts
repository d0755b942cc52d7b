import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, encode, split, unigramEntropy } from '../docs/examples/words/data.ts';
import {
  backward,
  exp,
  forward,
  initialise,
  loss,
  shapes,
  type Weights,
  workspace,
} from '../docs/examples/words/model.ts';

const words: string[] = createRequire(import.meta.url)('an-array-of-english-words');

describe('the demo model', () => {
  it('has the gradients that finite differences give, for every weight', () => {
    const sizes = { context: 3, embedding: 4, hidden: 6 };
    const names = Object.keys(shapes(sizes)) as (keyof Weights)[];
    const make = (n: number): Float64Array => new Float64Array(n);
    const start = initialise(sizes, 5);
    const weights = Object.fromEntries(
      names.map((name) => [name, Float64Array.from(start[name], (w, k) => w + 0.01 * ((k % 7) - 3))]),
    ) as unknown as Weights<Float64Array>;
    const gradients = Object.fromEntries(
      names.map((name) => [name, make(weights[name].length)]),
    ) as unknown as Weights<Float64Array>;
    const count = 5;
    const contexts = Uint8Array.from({ length: count * sizes.context }, (_, k) => (k * 11) % 27);
    const targets = Uint8Array.from([3, 26, 0, 9, 14]);
    const space = workspace(sizes, count, make);
    const value = (): number => {
      forward(weights, sizes, contexts, count, space);
      return loss(targets, count, space);
    };
    value();
    backward(weights, sizes, contexts, targets, count, space, gradients);
    for (const name of names) {
      for (let k = 0; k < weights[name].length; k++) {
        const w = weights[name][k]!;
        const h = 1e-6;
        weights[name][k] = w + h;
        const up = value();
        weights[name][k] = w - h;
        const down = value();
        weights[name][k] = w;
        expect(Math.abs((up - down) / (2 * h) - gradients[name][k]!), `${name}[${k}]`).toBeLessThan(1e-8);
      }
    }
  });

  it('exp is within 1e-14 of Math.exp for x <= 0', () => {
    fc.assert(
      fc.property(fc.double({ min: -690, max: 0, noNaN: true }), (x) => {
        expect(Math.abs(exp(x) / Math.exp(x) - 1)).toBeLessThan(1e-14);
      }),
    );
    expect(exp(0)).toBe(1);
    expect(exp(-1e9)).toBe(0);
  });
});

describe('the words', () => {
  it('are split by the seed alone, a tenth held out, none in both', () => {
    const { train, heldOut } = split(words, 1);
    expect(train.length + heldOut.length).toBe(words.filter((word) => /^[a-z]+$/.test(word)).length);
    expect(heldOut.length / (train.length + heldOut.length)).toBeCloseTo(0.1, 2);
    const seen = new Set(train.map(decode));
    expect(heldOut.some((word) => seen.has(decode(word)))).toBe(false);
    expect(split(words, 1).heldOut).toEqual(heldOut);
    expect(split(words, 2).heldOut).not.toEqual(heldOut);
  });

  it('are letters again after encode and decode', () => {
    expect(decode(encode('adafactor'))).toBe('adafactor');
  });

  it('have the entropy that a count by hand gives', () => {
    // "ab" and "b": symbols a, b, end, b, end.
    const entropy = -(0.2 * Math.log(0.2) + 2 * 0.4 * Math.log(0.4));
    expect(unigramEntropy([encode('ab'), encode('b')])).toBeCloseTo(entropy, 14);
  });
});
