//! exp, tanh and erf of many f32 without branches, so that a processor computes as many at once as its registers hold: the
//! approximations of the Cephes library (S. L. Moshier), within three units in the last place.
//!
//! The bits do not depend on the width of the registers, since no multiplication is fused with an addition.

use std::marker::PhantomData;

use faer::traits::pulp::{Arch, Simd, WithSimd};

/// `y ← exp(y)`
pub(super) fn exp(y: &mut [f32]) {
    each::<Exp>(y);
}

/// `y ← tanh(y)`
pub(super) fn tanh(y: &mut [f32]) {
    each::<Tanh>(y);
}

/// `y ← erf(y)`
pub(super) fn erf(y: &mut [f32]) {
    each::<Erf>(y);
}

/// A function of one number.
trait Function {
    fn of(x: f32) -> f32;
}

struct Exp;
struct Tanh;
struct Erf;

impl Function for Exp {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        exp_of(x)
    }
}

impl Function for Tanh {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        tanh_of(x)
    }
}

impl Function for Erf {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        erf_of(x)
    }
}

fn each<F: Function>(y: &mut [f32]) {
    Arch::new().dispatch(Each::<F>(y, PhantomData));
}

/// A function of many numbers. Not a closure: the compiler leaves a large one outside of what it compiles for wide registers.
struct Each<'a, F>(&'a mut [f32], PhantomData<F>);

impl<F: Function> WithSimd for Each<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for y in self.0 {
            *y = F::of(*y);
        }
    }
}

/// `c₀xⁿ + c₁xⁿ⁻¹ + … + cₙ`
#[inline(always)]
fn polynomial<const COUNT: usize>(coefficients: [f32; COUNT], x: f32) -> f32 {
    let mut sum = 0.0;
    for coefficient in coefficients {
        sum = sum * x + coefficient;
    }
    sum
}

/// eˣ = 2ⁿeʳ with |r| ≤ ½ log 2.
#[inline(always)]
fn exp_of(x: f32) -> f32 {
    /// Added to a small number, it leaves the nearest integer in the last bits.
    const INTEGERS: f32 = 12_582_912.0;
    /// The exponent of 1 in the bits of a number.
    const BIAS: i32 = 127;
    // log 2 in two parts, the first of which has so few digits that its multiples are exact.
    const LOG_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Beyond these the result is 0 or ∞.
    let x = x.clamp(-104.0, 89.0);
    let shifted = x * std::f32::consts::LOG2_E + INTEGERS;
    let n = shifted - INTEGERS;
    let r = (x - n * LOG_2[0]) - n * LOG_2[1];
    const COEFFICIENTS: [f32; 6] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let power = polynomial(COEFFICIENTS, r) * (r * r) + r + 1.0;
    // 2ⁿ itself may leave the range where the result does not.
    let n = (shifted.to_bits() as i32).wrapping_sub(INTEGERS.to_bits() as i32);
    let half = n >> 1;
    let two_to = |n: i32| f32::from_bits((n.wrapping_add(BIAS) << 23) as u32);
    power * two_to(half) * two_to(n.wrapping_sub(half))
}

#[inline(always)]
fn tanh_of(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 5] =
        [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];
    let (size, square) = (x.abs(), x * x);
    let small = x + x * (square * polynomial(COEFFICIENTS, square));
    let large = 1.0 - 2.0 / (exp_of(2.0 * size) + 1.0);
    let either = if size < 0.625 { small } else { large };
    either.copysign(x) // a sum that is 0 has lost its sign
}

#[inline(always)]
fn erf_of(x: f32) -> f32 {
    /// `erf(x)/x` up to 1, in x².
    const SMALL: [f32; 9] = [
        0.0,
        0.0,
        7.853_861_4e-5,
        -8.010_194e-4,
        5.188_327_7e-3,
        -2.685_381_2e-2,
        1.128_358_5e-1,
        -3.761_262_7e-1,
        std::f32::consts::FRAC_2_SQRT_PI,
    ];
    /// `x·exp(x²)·erfc(x)` from 1 to 2, in 1/x².
    const MIDDLE: [f32; 9] = [
        2.326_82e-2,
        -1.387_039_4e-1,
        3.687_424_6e-1,
        -5.824_733e-1,
        6.210_004_6e-1,
        -4.944_515_3e-1,
        3.404_88e-1,
        -2.741_127e-1,
        5.638_259_4e-1,
    ];
    /// The same from 2 on.
    const LARGE: [f32; 9] = [
        0.0,
        -1.047_766_4e1,
        1.297_72e1,
        -7.495_518_7,
        2.921_019,
        -1.015_265_3,
        4.218_463_4e-1,
        -2.820_767_5e-1,
        5.641_895e-1,
    ];
    let (size, square) = (x.abs(), x * x);
    let inverse = 1.0 / size;
    let (is_small, is_large) = (size < 1.0, size >= 2.0);
    let argument = if is_small { square } else { 1.0 / square };
    // One polynomial, whose coefficients depend on the size: leading zeros change no bit.
    let mut sum = 0.0;
    for ((small, middle), large) in SMALL.into_iter().zip(MIDDLE).zip(LARGE) {
        let other = if is_large { large } else { middle };
        sum = sum * argument + if is_small { small } else { other };
    }
    let beyond = 1.0 - exp_of(-square) * inverse * sum;
    if is_small { x * sum } else { beyond.copysign(x) }
}

#[cfg(test)]
mod tests {
    use burn_flex::ops::unary;

    use super::{erf, exp, tanh};

    type Function = (&'static str, fn(&mut [f32]), fn(f64) -> f64);

    const FUNCTIONS: [Function; 3] =
        [("exp", exp, f64::exp), ("tanh", tanh, f64::tanh), ("erf", erf, unary::erf_f64)];

    /// Distance in units in the last place of the exact value; of the smallest number at least.
    fn error(found: f32, exact: f64) -> f64 {
        let exponent = exact.abs().log2().floor().clamp(-126.0, 127.0);
        (f64::from(found) - exact).abs() / (exponent - 23.0).exp2()
    }

    /// A thousandth of all numbers, of every size and both signs.
    #[test]
    fn functions_are_right_to_three_units_in_the_last_place() {
        for (name, function, exact) in FUNCTIONS {
            let numbers: Vec<f32> = (0..=u32::MAX).step_by(1009).map(f32::from_bits).collect();
            let mut found = numbers.clone();
            function(&mut found);
            let mut worst = (0.0, 0.0_f32);
            for (&x, found) in numbers.iter().zip(found) {
                let exact = exact(f64::from(x));
                let same =
                    found.is_nan() == x.is_nan() && (exact as f32).is_finite() == found.is_finite();
                assert!(same, "{name}({x}): {found} instead of {exact}");
                if found.is_finite() {
                    let error = error(found, exact);
                    worst = if error > worst.0 { (error, x) } else { worst };
                }
            }
            assert!(worst.0 < 3.0, "{name}: {worst:?}");
        }
    }

    /// Zeros keep their signs, and limits are reached.
    #[test]
    fn functions_have_their_limits() {
        let limits = [
            (
                exp as fn(&mut [f32]),
                [(0.0, 1.0), (-0.0, 1.0), (f32::INFINITY, f32::INFINITY), (f32::NEG_INFINITY, 0.0)],
            ),
            (tanh, [(0.0, 0.0), (-0.0, -0.0), (f32::INFINITY, 1.0), (f32::NEG_INFINITY, -1.0)]),
            (erf, [(0.0, 0.0), (-0.0, -0.0), (f32::INFINITY, 1.0), (f32::NEG_INFINITY, -1.0)]),
        ];
        for (function, pairs) in limits {
            for (x, limit) in pairs {
                let mut found = [x];
                function(&mut found);
                assert_eq!(found[0].to_bits(), f32::to_bits(limit), "{x}");
            }
        }
    }

    /// A block and its elements one by one, whatever is left over beside full registers.
    #[test]
    fn bits_do_not_depend_on_the_position() {
        for (name, function, _) in FUNCTIONS {
            let numbers: Vec<f32> = (0..1003).map(|i| (i as f32 - 500.0) * 0.013).collect();
            let mut block = numbers.clone();
            function(&mut block);
            for (x, found) in numbers.iter().zip(block) {
                let mut one = [*x];
                function(&mut one);
                assert_eq!(one[0].to_bits(), found.to_bits(), "{name}({x})");
            }
        }
    }
}
