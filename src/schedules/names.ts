/** Every schedule that `getScheduler` makes, under its name in transformers: one line each. */
export { GreedyLR as greedy } from './greedy.ts';
export {
  ConstantSchedule as constant,
  ConstantScheduleWithWarmup as constant_with_warmup,
  CosineScheduleWithWarmup as cosine,
  CosineWarmupWithMinLrSchedule as cosine_warmup_with_min_lr,
  CosineWithHardRestartsScheduleWithWarmup as cosine_with_restarts,
  CosineWithMinLrScheduleWithWarmup as cosine_with_min_lr,
  InverseSqrtSchedule as inverse_sqrt,
  LinearScheduleWithWarmup as linear,
  PolynomialDecayScheduleWithWarmup as polynomial,
  WarmupStableDecaySchedule as warmup_stable_decay,
} from './named.ts';
export { ReduceLROnPlateau as reduce_lr_on_plateau } from './plateau.ts';
