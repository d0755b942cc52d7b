/** The gradients of one step, as TensorFlow.js gives them. */
import { engine, type NamedTensorMap, type Tensor, type TypedArray, type Variable } from '@tensorflow/tfjs-core';
import { type NamedTensor, sameShape } from './tf-tensors.ts';

/** By name, or a list; null or undefined where a variable has none. */
export type Gradients = NamedTensorMap | NamedTensor[];

/** A variable and its gradient. */
export interface Listed {
  readonly variable: Variable;
  readonly gradient: Tensor | null;
}

/** The dtypes that hold real numbers. */
const NUMBERS: ReadonlySet<string> = new Set(['float32', 'int32', 'bool']);

/** The variables that are meant, and their gradients. */
export function listGradients(method: string, gradients: Gradients): Listed[] {
  const known = engine().registeredVariables;
  const named = Array.isArray(gradients)
    ? gradients.map((one): [string, Tensor | null] => [one.name, one.tensor])
    : Object.entries(gradients);
  return named.map(([name, gradient]) => {
    const variable = known[name];
    if (variable === undefined) throw new Error(`TfOptimizer.${method}: there is no variable "${name}"`);
    if (gradient && !sameShape(gradient, variable)) {
      throw new RangeError(
        `TfOptimizer.${method}: the gradient of "${name}" must have the variable's shape ` +
          `[${variable.shape.join(', ')}], got [${gradient.shape.join(', ')}]`,
      );
    }
    if (gradient && !NUMBERS.has(gradient.dtype)) {
      throw new TypeError(`TfOptimizer.${method}: the gradient of "${name}" must be float32, got ${gradient.dtype}`);
    }
    return { variable, gradient: gradient ?? null };
  });
}

/** What `computeGradients` found, in the order of the variables that it was asked about. */
export function inOrder(grads: NamedTensorMap, variables: readonly Variable[] | undefined): Gradients {
  return variables?.map(({ name }) => ({ name, tensor: grads[name]! })) ?? grads;
}

/** Those that an optimizer is made for: also with no gradient yet, where they could have one. */
export function trainedOf(listed: readonly Listed[]): Variable[] {
  return listed.flatMap(({ variable, gradient }) =>
    gradient === null && variable.dtype !== 'float32' ? [] : variable,
  );
}

/** Those that a step reads. */
export function tensorsOf(listed: readonly Listed[]): Tensor[] {
  return listed.flatMap(({ variable, gradient }) => (gradient === null ? [] : [variable, gradient]));
}

/** A gradient's numbers, for a float32 parameter. */
export function slopesOf({ dtype }: Tensor, values: TypedArray): Float32Array {
  return dtype === 'float32' ? (values as Float32Array) : Float32Array.from(values);
}
