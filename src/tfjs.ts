/**
 * Any optimizer of this library as an optimizer of TensorFlow.js. Needs the package
 * `@tensorflow/tfjs-core`, version 4.
 *
 * TensorFlow.js keeps the weights; each step reads them and their gradients, updates them here, and
 * writes the weights back. Where tensors can be read synchronously (cpu, wasm, webgl), `minimize`
 * and `model.fit` work as with any optimizer; where they cannot (webgpu), and everywhere else too,
 * there are {@link TfOptimizer.minimizeAsync} and {@link TfOptimizer.callbacks}. The optimizer is
 * saved with a model (`includeOptimizer`), or together with the schedule by
 * `tensorless/checkpoint`.
 *
 * @module
 */
import { serialization } from '@tensorflow/tfjs-core';
import { options as checkedOptions, optionalText, show } from './core/check.ts';
import type { DeviceKernels } from './frameworks/tf-gpu.ts';
import { TfOptimizer } from './frameworks/tf-optimizer.ts';
import type { MakeOptimizer } from './frameworks/tf-variables.ts';

export type { BufferRange, DeviceKernels, DeviceLike } from './frameworks/tf-gpu.ts';
export type { Gradients } from './frameworks/tf-gradients.ts';
export type { BatchCallbacks } from './frameworks/tf-optimizer.ts';
export type { NamedTensor } from './frameworks/tf-tensors.ts';
export type { AnyVariable, LayerVariable } from './frameworks/tf-variables.ts';
export { type MakeOptimizer, TfOptimizer };

/** Options of {@link tfOptimizer}. */
export interface TfOptimizerOptions {
  /**
   * The name under which TensorFlow.js saves the optimizer with a model, and finds `make` again
   * when it loads one: for an optimizer with kernels or of your own class. Default none: what is
   * saved tells the class and its options.
   */
  className?: string;
  /**
   * Kernels of `tensorless/webgpu` over the backend's device, `webgpuKernels(tf.backend().device)`,
   * that `make` gives to the optimizer too: weights, gradients and state stay on the GPU, and the
   * synchronous calls work there. Default none.
   */
  kernels?: DeviceKernels;
}

/**
 * Any optimizer of this library as a `tf.Optimizer`: for `minimize`, `applyGradients`, and
 * `model.compile({ optimizer })`. It also makes the class known to TensorFlow.js
 * (`tf.serialization.registerClass`), which finds it by name when it loads a model.
 *
 * @param make - Called once with a parameter for each trainable variable, when they are known (at
 * the first step, or at `build`); makes the optimizer, and is a good place to attach a scheduler to
 * it.
 *
 * @example
 * ```ts
 * const optimizer = tfOptimizer((params) => new Adafactor(params));
 * model.compile({ optimizer, loss: 'categoricalCrossentropy' });
 * ```
 */
export function tfOptimizer(make: MakeOptimizer, options: TfOptimizerOptions = {}): TfOptimizer {
  if (typeof make !== 'function') {
    throw new TypeError(
      `tfOptimizer: make must be a function from parameters to an optimizer, such as (params) => new ` +
        `Adafactor(params), got ${show(make)}`,
    );
  }
  const { className, kernels } = checkedOptions('tfOptimizer', options, ['className', 'kernels']);
  const name = optionalText('tfOptimizer: className', className);
  if (kernels !== undefined && typeof (kernels as Partial<DeviceKernels> | null)?.wrap !== 'function') {
    throw new TypeError(
      `tfOptimizer: kernels must be those of webgpuKernels(tf.backend().device), got ${show(kernels)}; ` +
        'give other kernels to the optimizer that make returns',
    );
  }
  const device = kernels as DeviceKernels | undefined;
  const Class = name === undefined ? TfOptimizer : classNamed(name, make, device);
  serialization.registerClass(Class);
  return new Class(make, {}, device);
}

function classNamed(name: string, make: MakeOptimizer, kernels: DeviceKernels | undefined): typeof TfOptimizer {
  return class extends TfOptimizer {
    static override get className(): string {
      return name;
    }

    static override fromConfig<T extends serialization.Serializable>(
      cls: serialization.SerializableConstructor<T>,
      config: serialization.ConfigDict,
    ): T {
      return new cls(make, config, kernels);
    }
  };
}
