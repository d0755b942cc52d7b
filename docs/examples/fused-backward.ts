/**
 * Updating each layer as soon as its gradient exists: the gradients of a deep model never exist all at once, and the bits are those of step().
 *
 *   npx tsx docs/examples/fused-backward.ts
 */
import { Adafactor, Parameter } from 'tensorless';

const LAYERS = 12;
const SIDE = 256;

/** Counts the bytes of gradients that are alive. */
class Memory {
  now = 0;
  peak = 0;
  take(length: number): Float32Array {
    this.now += 4 * length;
    this.peak = Math.max(this.peak, this.now);
    return new Float32Array(length);
  }
  give(array: Float32Array): void {
    this.now -= array.byteLength;
  }
}

function build(): [Parameter[], Adafactor] {
  const layers = Array.from(
    { length: LAYERS },
    (_, i) =>
      new Parameter(
        new Float32Array(SIDE * SIDE).map((_, k) => Math.sin(k + i)),
        [SIDE, SIDE],
        { name: `layer ${i}` },
      ),
  );
  return [layers, new Adafactor(layers)];
}

/** Stands for a backward pass: the gradients come from the last layer to the first. */
function fill(gradient: Float32Array, layer: number): void {
  for (let k = 0; k < gradient.length; k++) gradient[k] = Math.cos(k * (layer + 1));
}

const [plain, plainOptimizer] = build();
const all = new Memory();
for (let i = LAYERS - 1; i >= 0; i--) {
  plain[i]!.grad = all.take(SIDE * SIDE);
  fill(plain[i]!.grad as Float32Array, i);
}
plainOptimizer.step();

const [fused, fusedOptimizer] = build();
const one = new Memory();
for (let i = LAYERS - 1; i >= 0; i--) {
  const gradient = one.take(SIDE * SIDE);
  fill(gradient, i);
  fused[i]!.grad = gradient;
  fusedOptimizer.stepParameter(fused[i]!);
  fused[i]!.grad = null;
  one.give(gradient);
}

const same = plain.every(({ data }, i) => data.every((w, k) => w === fused[i]!.data[k]));
console.log(
  `peak of gradient memory: ${all.peak.toLocaleString('en')} bytes with step(), ${one.peak.toLocaleString('en')} with stepParameter()`,
);
console.log(`the same bits: ${same}`);
