/**
 * The matrices of the T5 models, from the published configurations (transformers, T5Config of each
 * checkpoint), and their optimizer state.
 */
import type { Shape } from './contestants.ts';

interface Config {
  readonly width: number;
  readonly feedForward: number;
  readonly layers: number;
  readonly heads: number;
  /** Width of one head. */
  readonly head: number;
}

export const MODELS: Readonly<Record<string, Config>> = {
  'T5-small': { width: 512, feedForward: 2048, layers: 6, heads: 8, head: 64 },
  'T5-base': { width: 768, feedForward: 3072, layers: 12, heads: 12, head: 64 },
  'T5-large': { width: 1024, feedForward: 4096, layers: 24, heads: 16, head: 64 },
  'T5-3B': { width: 1024, feedForward: 16384, layers: 24, heads: 32, head: 128 },
  'T5-11B': { width: 1024, feedForward: 65536, layers: 24, heads: 128, head: 128 },
};

const VOCABULARY = 32128;
const RELATIVE_BUCKETS = 32;

/**
 * Matrices of an encoder and a decoder with tied embeddings; normalisation weights are vectors of
 * `width`.
 */
export function matrices({ width, feedForward, layers, heads, head }: Config): Shape[] {
  const inner = heads * head;
  const attention: Shape[] = [
    [inner, width],
    [inner, width],
    [inner, width],
    [width, inner],
  ];
  const dense: Shape[] = [
    [feedForward, width],
    [width, feedForward],
  ];
  const encoder = Array.from({ length: layers }, () => [...attention, ...dense]).flat();
  const decoder = Array.from({ length: layers }, () => [...attention, ...attention, ...dense]).flat();
  return [[VOCABULARY, width], [RELATIVE_BUCKETS, heads], ...encoder, [RELATIVE_BUCKETS, heads], ...decoder];
}

/** Numbers in the vectors: two per encoder layer, three per decoder layer, one at each end. */
export function vectorElements({ width, layers }: Config): number {
  return (5 * layers + 2) * width;
}

/**
 * Numbers of state: Adafactor's rows + columns of each matrix (and whole vectors), AdamW's two per
 * weight.
 */
export function stateNumbers(config: Config): { weights: number; adafactor: number; adamw: number } {
  const shapes = matrices(config);
  const vectors = vectorElements(config);
  const weights = shapes.reduce((sum, [rows, cols]) => sum + rows * cols, vectors);
  return { weights, adafactor: shapes.reduce((sum, [rows, cols]) => sum + rows + cols, vectors), adamw: 2 * weights };
}
