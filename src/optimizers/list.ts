/**
 * The one list of optimizers: a line each. The package exports what these files do, and the workers
 * of `tensorless/parallel` find the rules here.
 *
 * @module
 */
export * from './adafactor.ts';
export * from './adamw.ts';
export * from './lion.ts';
export * from './sgd.ts';
