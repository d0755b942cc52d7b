/** Parts and files that do not fit are refused by name, and nothing has changed. */
import { AdamW, Parameter } from 'tensorless';
import { CheckpointError, decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { encodeSafetensors } from 'tensorless/safetensors';
import { describe, expect, it } from 'vitest';

const weight = (name?: string, length = 2): Parameter =>
  new Parameter(new Float32Array(length), [length], name === undefined ? {} : { name });
const described = (content: unknown): Uint8Array => encodeSafetensors({}, { tensorless: JSON.stringify(content) });

describe('encodeTrainingState refuses', () => {
  it.each<[string, unknown, RegExp]>([
    ['no parts', null, /parts must be an object/],
    ['an unknown part', { model: 1 }, /unknown part "model".*into extra/],
    ['an optimizer that is none', { optimizer: {} }, /optimizer must have stateDict\(\)/],
    ['null for a scheduler', { scheduler: null }, /scheduler must have/],
    ['a parameter alone', { parameters: weight('w') }, /parameters must be an array/],
    ['an array for a parameter', { parameters: [new Float32Array(2)] }, /parameters\[0\] must be a Parameter/],
    ['a parameter without a name', { parameters: [weight()] }, /parameter 0 has no name/],
    ['a name twice', { parameters: [weight('w'), weight('w')] }, /two parameters are named "w"/],
    ['a name that is taken', { parameters: [weight('optimizer/x')] }, /cannot be named "optimizer\/x"/],
    ['the metadata’s name', { parameters: [weight('__metadata__')] }, /cannot be named/],
    ['an array in extra', { extra: { a: new Float32Array(2) } }, /give arrays as \[\.\.\.array\]/],
    ['a date in extra', { extra: new Date() }, /must be null, a boolean/],
  ])('%s', (_, parts, message) => {
    expect(() => encodeTrainingState(parts as never)).toThrow(message);
  });
});

describe('decodeTrainingState refuses', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['a description that is no object', described([1]), /description must be an object/],
    ['a description that is no JSON', encodeSafetensors({}, { tensorless: '{' }), /not valid JSON/],
    ['parameters that are no names', described({ format: 1, parameters: [3] }), /must be a list of names/],
    ['another version', described({ format: 2 }), /format version 2, this library reads version 1/],
    ['an unknown form', described({ format: 1, extra: { $date: 0 } }), /"\$date"/],
    ['a tensor that is not there', described({ format: 1, extra: { $tensor: 'x' } }), /"\$tensor"/],
    [
      'what is nested too deep',
      described({ format: 1, extra: JSON.parse(`${'['.repeat(80)}${']'.repeat(80)}`) }),
      /nested more than 64 deep/,
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => decodeTrainingState(bytes, {})).toThrow(CheckpointError);
    expect(() => decodeTrainingState(bytes, {})).toThrow(message);
  });

  it('parameters that the file has not, or whose memory is gone', () => {
    const file = encodeTrainingState({ parameters: [weight('w')] });
    expect(() => decodeTrainingState(encodeTrainingState({}), { parameters: [weight('w')] })).toThrow(
      /it has no parameters/,
    );
    expect(() => decodeTrainingState(file, { parameters: [weight('v')] })).toThrow(/it has "w"/);
    const gone = weight('w');
    structuredClone(gone.data, { transfer: [gone.data.buffer as ArrayBuffer] });
    expect(() => decodeTrainingState(file, { parameters: [gone] })).toThrow(/transferred to another thread/);
    expect(() => decodeTrainingState(file, { optimizer: new AdamW([weight('w')]) })).toThrow(
      /the file has no optimizer/,
    );
  });
});
