/**
 * tensorless: the optimizers and learning-rate schedules of Hugging Face transformers, on plain typed arrays.
 *
 * @module
 */
export type { DType, NumericArray, OptimizerStateDict, StateTensor, StateValue } from './dtype.ts';
export { type Float16ArrayLike, Parameter } from './parameter.ts';
