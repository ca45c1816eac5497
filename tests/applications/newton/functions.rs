//! Classic test functions with their minimizers, in closed form or to 16 digits. Jamil & Yang 2013, *A literature survey of
//! benchmark functions for global optimization problems*.

use std::f64::consts::PI;

use burn::prelude::*;

use super::Point;

/// A function with a start and all its local minimizers that a descent from there may reach.
pub struct Classic {
    pub name: &'static str,
    pub f: fn(&Point) -> Tensor<1>,
    pub start: &'static [f64],
    pub minimizers: &'static [&'static [f64]],
    /// f at each of them.
    pub minimum: f64,
}

fn square(t: Tensor<1>) -> Tensor<1> {
    t.clone() * t
}

/// (1 − x)² + 100 (y − x²)²
pub fn rosenbrock(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    square(x.clone() - 1.0) + square(y - square(x)) * 100.0
}

/// Σ (1 − xᵢ)² + 100 (xᵢ₊₁ − xᵢ²)² over six dimensions.
fn rosenbrock_chain(p: &Point) -> Tensor<1> {
    let terms = (0..5).map(|i| square(p.x(i) - 1.0) + square(p.x(i + 1) - square(p.x(i))) * 100.0);
    terms.reduce(|a, b| a + b).unwrap()
}

/// (x² + y − 11)² + (x + y² − 7)²
fn himmelblau(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    square(square(x.clone()) + y.clone() - 11.0) + square(x + square(y) - 7.0)
}

/// (1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²
fn beale(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    let mut power = y.clone();
    let mut sum: Option<Tensor<1>> = None;
    for a in [1.5, 2.25, 2.625] {
        let term = square(x.clone() * power.clone() - x.clone() + a);
        sum = Some(match sum {
            Some(sum) => sum + term,
            None => term,
        });
        power = power * y.clone();
    }
    sum.unwrap()
}

/// (x + 2y − 7)² + (2x + y − 5)²
pub fn booth(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    square(x.clone() + y.clone() * 2.0 - 7.0) + square(x * 2.0 + y - 5.0)
}

/// sin(x + y) + (x − y)² − 1.5x + 2.5y + 1
fn mccormick(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    (x.clone() + y.clone()).sin() + square(x.clone() - y.clone()) - x * 1.5 + y * 2.5 + 1.0
}

/// 2x² − 1.05x⁴ + x⁶/6 + xy + y²
fn three_hump_camel(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    let x2 = square(x.clone());
    let x4 = square(x2.clone());
    x2.clone() * 2.0 - x4.clone() * 1.05 + x4 * x2 * (1.0 / 6.0) + x * y.clone() + square(y)
}

/// 0.26 (x² + y²) − 0.48 xy
fn matyas(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    (square(x.clone()) + square(y.clone())) * 0.26 - x * y * 0.48
}

/// Σ (x⁴ − 16x² + 5x)/2
fn styblinski_tang(p: &Point) -> Tensor<1> {
    let x = p.w.val();
    let x2 = x.clone() * x.clone();
    (x2.clone() * x2.clone() - x2 * 16.0 + x * 5.0).sum() * 0.5
}

/// (1 + (x + y + 1)² (19 − 14x + 3x² − 14y + 6xy + 3y²)) (30 + (2x − 3y)² (18 − 32x + 12x² + 48y − 36xy + 27y²))
fn goldstein_price(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    let (x2, xy, y2) = (square(x.clone()), x.clone() * y.clone(), square(y.clone()));
    let a = x2.clone() * 3.0 - x.clone() * 14.0 + 19.0 - y.clone() * 14.0;
    let a = a + xy.clone() * 6.0 + y2.clone() * 3.0;
    let b = x2 * 12.0 - x.clone() * 32.0 + 18.0 + y.clone() * 48.0 - xy * 36.0 + y2 * 27.0;
    let first = square(x.clone() + y.clone() + 1.0) * a + 1.0;
    first * (square(x * 2.0 - y * 3.0) * b + 30.0)
}

/// −cos x cos y exp(−(x − π)² − (y − π)²)
fn easom(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    let bell = (square(x.clone() - PI) + square(y.clone() - PI)).neg().exp();
    (x.cos() * y.cos() * bell).neg()
}

/// sin²(3πx) + (x − 1)² (1 + sin²(3πy)) + (y − 1)² (1 + sin²(2πy)): Lévy's function number 13.
fn levy(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    let waves = |t: Tensor<1>, count: f64| square((t * (count * PI)).sin());
    waves(x.clone(), 3.0)
        + square(x - 1.0) * (waves(y.clone(), 3.0) + 1.0)
        + square(y.clone() - 1.0) * (waves(y, 2.0) + 1.0)
}

/// Σ xᵢ²
fn sphere(p: &Point) -> Tensor<1> {
    square(p.w.val()).sum()
}

/// 100 (x₂ − x₁²)² + (1 − x₁)² + 90 (x₄ − x₃²)² + (1 − x₃)² + 10.1 ((x₂ − 1)² + (x₄ − 1)²) + 19.8 (x₂ − 1)(x₄ − 1): Wood's
/// function. Moré, Garbow & Hillstrom 1981, *Testing unconstrained optimization software*, number 14.
fn wood(p: &Point) -> Tensor<1> {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| p.x(i));
    let (e, f) = (b.clone() - 1.0, d.clone() - 1.0);
    square(b - square(a.clone())) * 100.0
        + square(a - 1.0)
        + square(d - square(c.clone())) * 90.0
        + square(c - 1.0)
        + (square(e.clone()) + square(f.clone())) * 10.1
        + e * f * 19.8
}

/// (x − 10⁶)² + (y − 2·10⁻⁶)² + (xy − 2)²: Brown's badly scaled function, number 4 there. Its Hessian at the minimum has
/// eigenvalues of 2 and 10¹².
pub fn brown(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    square(x.clone() - 1e6) + square(y.clone() - 2e-6) + square(x * y - 2.0)
}

/// (x₁ + 10x₂)² + 5 (x₃ − x₄)² + (x₂ − 2x₃)⁴ + 10 (x₁ − x₄)⁴: Powell's function, number 13 there. Its Hessian at the minimum
/// is singular, and Newton's method linear, with the factor ⅔.
pub fn powell(p: &Point) -> Tensor<1> {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| p.x(i));
    let fourth = |t: Tensor<1>| square(square(t));
    square(a.clone() + b.clone() * 10.0)
        + square(c.clone() - d.clone()) * 5.0
        + fourth(b - c * 2.0)
        + fourth(a - d) * 10.0
}

/// x* = ½ − π/3 of McCormick's function; y* = x* − 1. Its value: sin(−2π/3) + 1 − 1.5x* + 2.5y* + 1.
const MCCORMICK: [f64; 2] = [0.5 - std::f64::consts::FRAC_PI_3, -0.5 - std::f64::consts::FRAC_PI_3];

/// The minimizers of x⁴ − 16x² + 5x: roots of 4x³ − 32x + 5.
const LEFT: f64 = -2.903_534_027_771_177;
const RIGHT: f64 = 2.746_802_770_992_577;

pub const CLASSICS: &[Classic] = &[
    Classic {
        name: "Rosenbrock",
        f: rosenbrock,
        start: &[-1.2, 1.0],
        minimizers: &[&[1.0, 1.0]],
        minimum: 0.0,
    },
    Classic {
        name: "Rosenbrock in six dimensions",
        f: rosenbrock_chain,
        start: &[0.5, 0.8, 1.1, 0.9, 1.2, 1.0],
        minimizers: &[&[1.0; 6]],
        minimum: 0.0,
    },
    Classic {
        name: "Himmelblau",
        f: himmelblau,
        start: &[0.3, 0.4],
        minimizers: &[
            &[3.0, 2.0],
            &[-2.805_118_086_952_745, 3.131_312_518_250_573],
            &[-3.779_310_253_377_747, -3.283_185_991_286_17],
            &[3.584_428_340_330_492, -1.848_126_526_964_403],
        ],
        minimum: 0.0,
    },
    Classic {
        name: "Beale",
        f: beale,
        start: &[2.0, 0.2],
        minimizers: &[&[3.0, 0.5]],
        minimum: 0.0,
    },
    Classic {
        name: "Booth",
        f: booth,
        start: &[-8.0, 9.0],
        minimizers: &[&[1.0, 3.0]],
        minimum: 0.0,
    },
    Classic {
        name: "McCormick",
        f: mccormick,
        start: &[0.0, 0.0],
        minimizers: &[&MCCORMICK],
        minimum: -1.913_222_954_981_037,
    },
    Classic {
        name: "three-hump camel",
        f: three_hump_camel,
        start: &[0.6, -0.7],
        minimizers: &[&[0.0, 0.0]],
        minimum: 0.0,
    },
    Classic {
        name: "Matyas",
        f: matyas,
        start: &[7.0, -4.0],
        minimizers: &[&[0.0, 0.0]],
        minimum: 0.0,
    },
    Classic {
        name: "Styblinski–Tang",
        f: styblinski_tang,
        start: &[0.1, -0.2],
        minimizers: &[&[LEFT, LEFT], &[LEFT, RIGHT], &[RIGHT, LEFT], &[RIGHT, RIGHT]],
        minimum: -78.332_331_407_545_1,
    },
    Classic {
        name: "Goldstein–Price",
        f: goldstein_price,
        start: &[0.1, -0.9],
        minimizers: &[&[0.0, -1.0]],
        minimum: 3.0,
    },
    Classic {
        name: "Easom",
        f: easom,
        start: &[2.6, 3.4],
        minimizers: &[&[PI, PI]],
        minimum: -1.0,
    },
    Classic {
        name: "Lévy 13",
        f: levy,
        start: &[1.05, 0.92],
        minimizers: &[&[1.0, 1.0]],
        minimum: 0.0,
    },
    Classic {
        name: "sphere",
        f: sphere,
        start: &[3.0, -1.0, 2.0],
        minimizers: &[&[0.0; 3]],
        minimum: 0.0,
    },
    Classic {
        name: "Wood",
        f: wood,
        start: &[-3.0, -1.0, -3.0, -1.0],
        minimizers: &[&[1.0; 4]],
        minimum: 0.0,
    },
];
