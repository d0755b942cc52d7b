/** What `assembly/float32/single-exports.ts` exports; its arguments are said there. */
export type SingleWasm = Readonly<
  Record<
    | 'putFactors'
    | 'rowsFit'
    | 'finite'
    | 'weigh'
    | 'added'
    | 'reduce'
    | 'measure'
    | 'squares'
    | 'apply'
    | 'applyMomentum'
    | 'measureVector'
    | 'applyVector'
    | 'adam'
    | 'sgd'
    | 'lion'
    | 'flush',
    (...args: number[]) => number
  >
>;
