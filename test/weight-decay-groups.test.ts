/**
 * The groups that Trainer makes: by the names of five families of models, recorded by
 * vectors/make_decay_groups.py.
 */
import { readFileSync } from 'node:fs';
import { AdamW, Parameter, weightDecayGroups } from 'tensorless';
import { describe, expect, it } from 'vitest';

const { models } = JSON.parse(readFileSync(new URL('vectors/decay_groups.json', import.meta.url), 'utf8')) as {
  models: Record<string, { names: string[]; decay: string[] }>;
};
const parameter = (name: string): Parameter => new Parameter(new Float32Array(2), { name });
const namesOf = (params: readonly Parameter[]): string[] => params.map(({ name }) => name!);

describe.each(Object.entries(models))('%s', (model, { names, decay }) => {
  it('has the two groups of Trainer, in the order of the model', () => {
    const byName = weightDecayGroups(names.map(parameter), { weightDecay: 0.1 });
    // Trainer also tells GPT-2's LayerNorms by their class, which a name cannot.
    const lost = names.filter((name) => !decay.includes(name) && namesOf(byName[0].params).includes(name));
    expect(lost.every((name) => model === 'gpt2' && /ln_\w+\.weight$/.test(name))).toBe(true);
    const [decayed, kept] = weightDecayGroups(names.map(parameter), {
      weightDecay: 0.1,
      noDecay: ({ name }) => /bias|layernorm|(^|\.)norm|_norm|ln_|layer_norm/i.test(name!),
    });
    const [first, second] = model === 'gpt2' ? [decayed, kept] : byName;
    expect(namesOf(first.params)).toEqual(decay);
    expect(namesOf(second.params)).toEqual(names.filter((name) => !decay.includes(name)));
    expect([first, second].map(({ weightDecay }) => weightDecay)).toEqual([0.1, 0]);
  });
});

it('makes groups that an optimizer takes, also where one is empty', () => {
  const weight = parameter('weight');
  const optimizer = new AdamW(weightDecayGroups([weight], { weightDecay: 0.1 }), { lr: 0.1 });
  expect(optimizer.paramGroups.map(({ params, weightDecay }) => [params.length, weightDecay])).toEqual([
    [1, 0.1],
    [0, 0],
  ]);
});

it('refuses parameters without a name unless it is told by another way, and wrong options', () => {
  const bare = new Parameter(new Float32Array(2));
  expect(() => weightDecayGroups([bare], { weightDecay: 0.1 })).toThrow(
    'weightDecayGroups: parameter 0 has no name to tell by; name it, or give noDecay',
  );
  expect(weightDecayGroups([bare], { weightDecay: 0.1, noDecay: () => true })[1].params).toEqual([bare]);
  expect(() => weightDecayGroups([bare], { weightDecay: -1 })).toThrow('weightDecay must be');
  expect(() => weightDecayGroups([bare], { weightDecay: 1, noDecay: 'bias' as never })).toThrow('noDecay must be');
  expect(() => weightDecayGroups(bare as never, { weightDecay: 1 })).toThrow('params must be an array');
});
