/** How a wrong value is shown in a message. */
import { describe, expect, it } from 'vitest';
import { options, show } from '../src/core/check.ts';

describe('show', () => {
  it.each<[unknown, string]>([
    ['short', '"short"'],
    ['x'.repeat(61), `"${'x'.repeat(57)}..."`],
    ['x'.repeat(60), `"${'x'.repeat(60)}"`],
    [[1, 'a'], '[1, "a"]'],
    [[1, 2, 3, 4], '[1, 2, 3, 4]'],
    [[1, 2, 3, 4, 5], '[1, 2, 3, 4, ... 5 items]'],
    [12n, '12n'],
    [function named() {}, 'function named'],
    [() => 1, 'a function'],
    [null, 'null'],
    [undefined, 'undefined'],
    [Number.NaN, 'NaN'],
    [new Float32Array(3), 'Float32Array(3)'],
    [new DataView(new ArrayBuffer(2)), 'DataView(2)'],
    [{ a: 1, b: 2 }, 'an object with keys "a", "b"'],
    [new Map(), 'Map'],
  ])('%o is shown as %s', (value, shown) => {
    expect(show(value)).toBe(shown);
  });

  it('takes objects without a prototype, or without a constructor', () => {
    expect(show(Object.assign(Object.create(null), { a: 1 }))).toBe('an object with keys "a"');
    expect(show(Object.assign(Object.create({ constructor: undefined }), { a: 1 }))).toBe('an object with keys "a"');
  });
});

it('options that are left out are none', () => {
  expect(options('f', undefined, ['a'])).toEqual({});
  expect(options('f', { a: undefined }, ['a'])).toEqual({});
});
