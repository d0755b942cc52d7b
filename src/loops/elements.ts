/**
 * What the loops' arrays are, and why each loop has twins.
 *
 * V8 keeps one set of type feedback per function, so a loop that has seen two array types tests for
 * both in every access from then on. Each file of loops is therefore written once, for
 * Float32Array, and `npm run build:loops` (tools/specialise.ts) writes its twins into
 * `loops/generated/`:
 * - `NAME64.ts` has Float64Array for Float32Array and no `Math.fround`. Where a loop differs in
 *   float64, a function `loop64` beside `loop` replaces it there (a link to it in the comment of
 *   `loop` is what TypeScript takes for a use).
 * - `NAME16.ts`, where a loop takes {@link LookedUp}, has 16-bit numbers in these arrays.
 *
 * Closures or factories per type would share their feedback; accessor functions cost too much
 * (`apply` 2.3 ns per element instead of 1.2, Node 20.20).
 *
 * @module
 */

/**
 * Weights and gradients that the 16-bit twin of a loop takes as they are: each number is looked up
 * in `table`, which has all 65,536 of them, and each new weight goes to `strip`, from 0 (the weight
 * at `at`), to be rounded afterwards. These three become the twin's last arguments, as needed.
 *
 * A look-up takes no longer than a load (0.50 ns per element of `sumSquares` against 0.48, Node
 * 20.20); to widen a strip first took 0.48 (bfloat16) and 0.82 (float16) more.
 */
export type LookedUp = Float32Array;
