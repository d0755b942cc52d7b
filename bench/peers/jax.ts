/**
 * jax-js: AdamW written as one jitted function over all matrices, the way its users write it, on
 * its wasm backend.
 */
import { type Contestant, DECAY, LR, timed, values } from '../contestants.ts';

/**
 * The little of jax-js that is used here. Arrays are owned: an operation consumes them, `.ref`
 * keeps one.
 */
interface JaxArray {
  readonly ref: JaxArray;
  mul(other: JaxArray | number): JaxArray;
  add(other: JaxArray | number): JaxArray;
  sub(other: JaxArray | number): JaxArray;
  div(other: JaxArray | number): JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  blockUntilReady(): Promise<unknown>;
  data(): Promise<Float32Array>;
  dispose(): void;
}
type Update = (p: JaxArray, g: JaxArray, m: JaxArray, v: JaxArray, c1: JaxArray, c2: JaxArray) => JaxArray[];
interface Jax {
  init(device: string): Promise<unknown>;
  defaultDevice(device: string): void;
  jit(update: Update): Update;
  numpy: {
    array(values: Float32Array | number): JaxArray;
    zeros(shape: readonly number[]): JaxArray;
    sqrt(x: JaxArray): JaxArray;
  };
}

export function jax(): Contestant {
  const name = 'jax-js AdamW, wasm jit';
  return {
    name,
    formula: 'adamw',
    decay: DECAY,
    most: 1024 * 1024,
    async start(shapes) {
      // It asks for navigator.gpu at start, which Node 20 has no navigator for.
      (globalThis as { navigator?: object }).navigator ??= {};
      const {
        init,
        defaultDevice,
        jit,
        numpy: np,
      } = (await import(new URL('./node_modules/@jax-js/jax/dist/index.js', import.meta.url).href)) as Jax;
      await init('wasm');
      defaultDevice('wasm');
      const update = jit((p, g, m, v, c1, c2) => {
        const first = m.mul(0.9).add(g.ref.mul(0.1));
        const second = v.mul(0.999).add(g.ref.mul(g).mul(0.001));
        const step = first.ref.div(c1).div(np.sqrt(second.ref.div(c2)).add(1e-8));
        return [p.mul(1 - LR * DECAY).sub(step.mul(LR)), first, second];
      });
      const runs = shapes.map(([rows, cols]) => {
        const array = (salt: number): JaxArray => np.array(values(rows * cols, salt)).reshape([rows, cols]);
        return { p: array(7919), g: array(104729), m: np.zeros([rows, cols]), v: np.zeros([rows, cols]) };
      });
      let t = 0;
      return timed(name, {
        async step() {
          t++;
          for (const run of runs) {
            const corrections = [np.array(1 - 0.9 ** t), np.array(1 - 0.999 ** t)] as const;
            const [p, m, v] = update(run.p, run.g.ref, run.m, run.v, ...corrections);
            Object.assign(run, { p, m, v });
          }
          await Promise.all(runs.map(({ p }) => p.blockUntilReady()));
        },
        weights: () => runs[0]!.p.ref.data(),
        close() {
          for (const { p, g, m, v } of runs) for (const array of [p, g, m, v]) array.dispose();
        },
      });
    },
  };
}
