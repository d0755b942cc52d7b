/**
 * What a user writes, compiled against the built package with the least TypeScript that is promised
 * and every declaration file looked at (`npm run check:least`). `tensorless/tfjs` is left out: its
 * types need TensorFlow.js's, which do not compile so strictly.
 */
import {
  Adafactor,
  AdamW,
  clipGradNorm,
  GradientAccumulator,
  getScheduler,
  LambdaLR,
  Lion,
  linearWithWarmup,
  type Optimizer,
  Parameter,
  type StateValue,
  toBfloat16,
  weightDecayGroups,
} from 'tensorless';
import { decodeTrainingState, encodeTrainingState } from 'tensorless/checkpoint';
import { saveTrainingState } from 'tensorless/node';
import { parallelKernels, runParallelWorker } from 'tensorless/parallel';
import 'tensorless/parallel-worker';
import { decodeSafetensors } from 'tensorless/safetensors';
import { simdKernels } from 'tensorless/simd';
import { decodeTorch, encodeTorch } from 'tensorless/torch';

const kernels = simdKernels({ arenaBytes: 2 ** 16 });
const weight = new Parameter(kernels.allocate('float32', 6), [2, 3], { name: 'weight' });
const bias = new Parameter(new Float64Array(2), { name: 'bias' });
const half = new Parameter(toBfloat16([1, 2]), { dtype: 'bfloat16' });
weight.grad = new Float32Array(6);
const first: number | undefined = weight.grad?.[0] ?? weight.data[0];
const adamw = new AdamW(weightDecayGroups([weight, bias], { weightDecay: 0.1 }), { lr: 3e-4, kernels });
const betas: readonly [number, number] = adamw.paramGroups[0]!.betas;
const all: Optimizer[] = [adamw, new Adafactor([{ params: half, lr: 1e-3, relativeStep: false }]), new Lion([weight])];
const scheduler = getScheduler('linear', adamw, { numWarmupSteps: 1, numTrainingSteps: 10 });
const curve = new LambdaLR(all[1]!, linearWithWarmup({ numWarmupSteps: 1, numTrainingSteps: 2 }));
const accumulator = new GradientAccumulator([weight]);
accumulator.add({ weight: 3 });
clipGradNorm([weight], 1, { normType: 1 });
const state: StateValue = decodeTorch(encodeTorch(adamw.stateDict()));
adamw.loadStateDict(state);
const parts = { parameters: [weight], optimizer: adamw, scheduler, accumulator, extra: { epoch: 1 } };
decodeTrainingState(encodeTrainingState(parts), parts);

export { betas, curve, decodeSafetensors, first, parallelKernels, runParallelWorker, saveTrainingState };
