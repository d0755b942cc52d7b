/** The float32 level in WGSL: the hardware's own arithmetic, under the names of `double.ts`. */

/** Type and operations of the float32 level. */
export const SINGLE: string = /* wgsl */ `
alias Real = f32;
fn fromF32(bits: u32) -> Real { return bitcast<f32>(bits); }
fn toF32(a: Real) -> u32 { return bitcast<u32>(a); }
fn zero(s: u32) -> Real { return 0.0; }
fn isPositive(a: Real) -> bool { return a > 0.0; }
fn isNegative(a: Real) -> bool { return a < 0.0; }
fn isNaN(a: Real) -> bool { return (bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u; }
fn atLeast(a: Real, b: Real) -> bool { return a >= b; }
fn negated(a: Real) -> Real { return -a; }
fn add(a: Real, b: Real) -> Real { return a + b; }
fn sub(a: Real, b: Real) -> Real { return a - b; }
fn mul(a: Real, b: Real) -> Real { return a * b; }
fn div(a: Real, b: Real) -> Real { return a / b; }
fn root(a: Real) -> Real { return sqrt(a); }
`;
