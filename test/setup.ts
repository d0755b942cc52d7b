/**
 * Property tests: one seed for the whole run, printed, and replayed with `SEED=<number> npm test`.
 * fast-check also prints seed and path of every failure.
 */
import fc from 'fast-check';

const seed = process.env.SEED === undefined ? Date.now() & 0x7fffffff : Number(process.env.SEED);
if (!Number.isSafeInteger(seed)) throw new RangeError(`SEED must be an integer, got ${process.env.SEED}`);
fc.configureGlobal({ seed });
process.env.SEED = String(seed);
