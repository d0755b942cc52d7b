/** What the test of TensorFlow.js and jax-js on WebGPU runs in the page. */
import * as jax from '@jax-js/jax';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { Adafactor, AdamW, getLinearScheduleWithWarmup, type LRScheduler, type Parameter } from 'tensorless';
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { jaxOptimizer } from 'tensorless/jax';
import { type TfOptimizer, tfOptimizer } from 'tensorless/tfjs';
import { webgpuKernels } from 'tensorless/webgpu';

const numbers = (length: number, salt: number): Float32Array =>
  Float32Array.from({ length }, (_, k) => (((k + 1) * salt) % 101) / 101 - 0.5);

/** What a model was after some epochs, and after some more from a file. */
export interface Run {
  loss: number;
  weights: number[][];
  resumed: number[][];
  leaked: number;
  refusals: string[];
}

const read = (one: layers.LayersModel): Promise<number[][]> =>
  Promise.all(one.getWeights().map(async (weight) => [...(await weight.data())]));

/** `mode`: a backend, or `kernels`: webgpu, with kernels there. */
async function train(mode: string): Promise<Run> {
  const backend = mode === 'kernels' ? 'webgpu' : mode;
  if (!(await tf.setBackend(backend))) throw new Error(`no ${backend} backend`);
  await tf.ready();
  const start = layers.initializers.glorotUniform({ seed: 1 });
  const model = layers.sequential({
    layers: [
      layers.layers.conv2d({ filters: 3, kernelSize: 3, inputShape: [6, 6, 1], kernelInitializer: start }),
      layers.layers.flatten(),
      layers.layers.dense({ units: 2, kernelInitializer: start }),
    ],
  });
  let scheduler: LRScheduler | undefined;
  const kernels =
    mode === 'kernels'
      ? webgpuKernels((tf.backend() as tf.KernelBackend & { device: Parameters<typeof webgpuKernels>[0] }).device)
      : undefined;
  const make = (params: Parameter[]): AdamW => {
    const adamw = new AdamW(params, { lr: 0.02, ...(kernels && { kernels }) });
    scheduler = getLinearScheduleWithWarmup(adamw, { numWarmupSteps: 2, numTrainingSteps: 24 });
    return adamw;
  };
  const optimizer = tfOptimizer(make, kernels === undefined ? {} : { kernels, className: 'OnTheGpu' });
  model.compile({ optimizer, loss: 'meanSquaredError' });
  const x = tf.tensor(numbers(20 * 36, 37), [20, 6, 6, 1]);
  const y = tf.tensor(numbers(40, 53), [20, 2]);
  const args = { epochs: 3, batchSize: 5, shuffle: false, verbose: 0 as const };
  const refusals: string[] = [];
  const note = (error: unknown): void => void refusals.push((error as Error).message);
  if (mode === 'webgpu') {
    await model.fit(x, y, args).catch(note);
    try {
      optimizer.minimize(() => tf.sum(model.predict(x) as tf.Tensor) as tf.Scalar);
    } catch (error) {
      note(error);
    }
  }
  const advance = { onBatchEnd: async () => scheduler!.step() };
  const callbacks = mode === 'kernels' ? advance : [optimizer.callbacks(), advance];
  await model.fit(x, y, { ...args, epochs: 1, callbacks });
  const { numTensors } = tf.memory();
  await model.fit(x, y, { ...args, callbacks });
  const leaked = tf.memory().numTensors - numTensors;
  let artifacts: tf.io.ModelArtifacts | undefined;
  await model.save(
    tf.io.withSaveHandler(async (kept) => {
      artifacts = kept;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
    { includeOptimizer: true },
  );
  const { history } = await model.fit(x, y, { ...args, epochs: 1, callbacks });
  const copy = await layers.loadLayersModel(tf.io.fromMemory(artifacts!));
  const second = await (copy.optimizer as TfOptimizer).buildAsync(copy.trainableWeights);
  const lastEpoch = second.iterations - 1;
  const again = getLinearScheduleWithWarmup(second.optimizer, { numWarmupSteps: 2, numTrainingSteps: 24, lastEpoch });
  const on = { onBatchEnd: async () => again.step() };
  await copy.fit(x, y, { ...args, epochs: 1, callbacks: mode === 'kernels' ? on : [second.callbacks(), on] });
  const [after, resumed] = await Promise.all([read(model), read(copy)]);
  if (kernels !== undefined) {
    // What others do with a variable: read it, assign to it, keep a copy of it; and a bad gradient.
    const [first] = model.trainableWeights.map((weight) => weight.read() as tf.Variable) as [tf.Variable];
    const step = (factor: number): Promise<unknown> =>
      optimizer.minimizeAsync(() => tf.sum(tf.mul(first, factor)) as tf.Scalar, false, [first]);
    const snapshot = first.clone();
    const before = await snapshot.data();
    await step(1);
    await step(Number.NaN).catch(note);
    if (String(await snapshot.data()) !== String(before)) throw new Error('a copy of a variable has changed');
    if (String(await first.data()) === String(before)) throw new Error('the variable has not changed');
    first.assign(tf.fill(first.shape, 100));
    await step(1);
    if (!(await first.data()).every((value) => value > 90)) throw new Error('an assigned weight was not read');
    first.assign(tf.tensor(before, first.shape));
    optimizer.readWeights();
    const own = await kernels.read(optimizer.parameters[0]!.data as Float32Array);
    if (String(own) !== String(before)) throw new Error('readWeights has not read');
    await tf.setBackend('cpu');
    await optimizer.applyGradientsAsync({ [first.name]: tf.zeros(first.shape) }).catch(note);
  }
  return { loss: history.loss![0] as number, weights: after, resumed, leaked, refusals };
}
type Model = { weight: jax.Array; bias: jax.Array };

/** The loss before the last step, and the weights after it, of a run that was resumed in the middle. */
async function trainJax(device: jax.Device): Promise<{ losses: number[]; weights: number[][]; device: string }> {
  if (!(await jax.init(device)).includes(device)) throw new Error(`no ${device} device`);
  jax.defaultDevice(device);
  const np = jax.numpy;
  const array = (shape: [number, number], salt: number): jax.Array =>
    np.array(numbers(shape[0] * shape[1], salt) as Float32Array<ArrayBuffer>, { shape });
  const lossOf = ({ weight, bias }: Model, x: jax.Array, y: jax.Array): jax.Array =>
    np.mean(np.square(np.tanh(np.matmul(x, weight)).add(bias).sub(y)));
  const start = async () => {
    const params: Model = { weight: array([20, 30], 29), bias: array([1, 30], 31) };
    let scheduler: LRScheduler | undefined;
    const optimizer = await jaxOptimizer((parameters) => {
      const adafactor = new Adafactor(parameters, { lr: 0.02, relativeStep: false, scaleParameter: false });
      scheduler = getLinearScheduleWithWarmup(adafactor, { numWarmupSteps: 2, numTrainingSteps: 20 });
      return adafactor;
    }).build(jax.tree.ref(params));
    return { params, optimizer, scheduler: scheduler!, losses: [] as number[] };
  };
  type State = Awaited<ReturnType<typeof start>>;
  const run = async (one: State): Promise<void> => {
    for (let step = 0; step < 5; step++) {
      const [loss, grads] = jax.valueAndGrad(lossOf)(
        jax.tree.ref(one.params),
        array([40, 20], 37),
        array([40, 30], 53),
      );
      one.losses.push((await loss.data())[0] as number);
      one.params = await one.optimizer.update(one.params, grads);
      one.scheduler.step();
    }
  };
  const parts = ({ optimizer, scheduler }: State) => ({
    parameters: optimizer.parameters,
    optimizer: optimizer.optimizer,
    scheduler,
  });
  const first = await start();
  await run(first);
  const bytes = encodeTrainingState(parts(first));
  const second = await start();
  decodeTrainingState(bytes, parts(second));
  second.params = second.optimizer.weights(second.params);
  await run(second);
  const { weight, bias } = second.params;
  const placed = weight.device;
  const weights = [[...(await weight.data())], [...(await bias.data())]] as number[][];
  return { losses: [...first.losses, ...second.losses], weights, device: placed };
}

Object.assign(globalThis, {
  tensorflow: train,
  jaxjs: trainJax,
  hasGpu: async () => (await navigator.gpu?.requestAdapter()) != null,
});
