//! The classic functions as the crate `argmin_testfunctions` has them: its values, derivatives and Hessian matrices against
//! those of our closures, and its derivatives where our optimizers end.

use argmin_testfunctions::{
    beale, beale_derivative, beale_hessian, booth, booth_derivative, booth_hessian, easom,
    easom_derivative, easom_hessian, goldsteinprice, goldsteinprice_derivative,
    goldsteinprice_hessian, himmelblau, himmelblau_derivative, himmelblau_hessian, levy_n13,
    levy_n13_derivative, levy_n13_hessian, matyas, matyas_derivative, matyas_hessian, mccormick,
    mccormick_derivative, mccormick_hessian, rosenbrock, rosenbrock_derivative, rosenbrock_hessian,
    sphere, sphere_derivative, sphere_hessian, styblinski_tang, styblinski_tang_derivative,
    styblinski_tang_hessian, threehumpcamel, threehumpcamel_derivative, threehumpcamel_hessian,
};
use burn_curvature::{
    Hessian, materialize,
    optim::{NewtonCgConfig, TrustRegionNewtonConfig},
};

use super::{
    Point,
    functions::{CLASSICS, Classic},
    objective, run,
};
use crate::{random::SplitMix64, relative_error};

/// A function of that crate under our name for it.
struct Oracle {
    name: &'static str,
    value: fn(&[f64]) -> f64,
    gradient: fn(&[f64]) -> Vec<f64>,
    hessian: fn(&[f64]) -> Vec<Vec<f64>>,
}

/// A function of the plane.
macro_rules! plane {
    ($name:literal, $value:ident, $gradient:ident, $hessian:ident) => {
        Oracle {
            name: $name,
            value: |x| $value(&[x[0], x[1]]),
            gradient: |x| $gradient(&[x[0], x[1]]).to_vec(),
            hessian: |x| $hessian(&[x[0], x[1]]).map(|row| row.to_vec()).to_vec(),
        }
    };
}

/// A function of any dimension.
macro_rules! space {
    ($name:literal, $value:ident, $gradient:ident, $hessian:ident) => {
        Oracle {
            name: $name,
            value: |x| $value(x),
            gradient: |x| $gradient(x),
            hessian: |x| $hessian(x),
        }
    };
}

/// All of our functions that it has; it does not have Wood's, Brown's and Powell's.
const ORACLES: &[Oracle] = &[
    space!("Rosenbrock", rosenbrock, rosenbrock_derivative, rosenbrock_hessian),
    space!("Rosenbrock in six dimensions", rosenbrock, rosenbrock_derivative, rosenbrock_hessian),
    plane!("Himmelblau", himmelblau, himmelblau_derivative, himmelblau_hessian),
    plane!("Beale", beale, beale_derivative, beale_hessian),
    plane!("Booth", booth, booth_derivative, booth_hessian),
    plane!("McCormick", mccormick, mccormick_derivative, mccormick_hessian),
    plane!("three-hump camel", threehumpcamel, threehumpcamel_derivative, threehumpcamel_hessian),
    plane!("Matyas", matyas, matyas_derivative, matyas_hessian),
    space!("Styblinski–Tang", styblinski_tang, styblinski_tang_derivative, styblinski_tang_hessian),
    plane!("Goldstein–Price", goldsteinprice, goldsteinprice_derivative, goldsteinprice_hessian),
    plane!("Easom", easom, easom_derivative, easom_hessian),
    plane!("Lévy 13", levy_n13, levy_n13_derivative, levy_n13_hessian),
    space!("sphere", sphere, sphere_derivative, sphere_hessian),
];

/// Our function of that name.
fn ours(oracle: &Oracle) -> &'static Classic {
    let found = CLASSICS.iter().find(|classic| classic.name == oracle.name);
    found.unwrap_or_else(|| panic!("no {}", oracle.name))
}

/// Value, gradient and Hessian at 30 points of a box around the start.
#[test]
fn closures_are_the_functions_of_argmin() {
    let mut random = SplitMix64::new(41);
    for oracle in ORACLES {
        let classic = ours(oracle);
        let recorded = objective(&Point::at(classic.start), classic.f);
        for _ in 0..30 {
            let x: Vec<f64> =
                classic.start.iter().map(|x| x + 4.0 * random.uniform() - 2.0).collect();
            let at = recorded.at(&recorded.parameters().space().vector(&x).unwrap()).unwrap();
            let value = at.value().unwrap();
            let expected = (oracle.value)(&x);
            // Terms may cancel: rounding is relative to the largest of them.
            let scale = expected.abs().max(1.0);
            assert!(
                (value - expected).abs() <= 1e-12 * scale,
                "{} at {x:?}: {value} and {expected}",
                oracle.name
            );
            let gradient = at.gradient().unwrap().to_vec().unwrap();
            let error = relative_error(&gradient, &(oracle.gradient)(&x));
            assert!(error <= 1e-11, "{} at {x:?}: the gradient by {error:e}", oracle.name);
            let hessian = materialize(&Hessian::new(&at).unwrap()).unwrap();
            let error = relative_error(hessian.values(), &(oracle.hessian)(&x).concat());
            assert!(error <= 1e-11, "{} at {x:?}: the Hessian by {error:e}", oracle.name);
        }
    }
}

/// By Newton-CG and in a trust region: the derivative of that crate vanishes at the end, its Hessian is positive definite
/// there, and a Newton step by both, the estimate of the distance to the minimizer, is below 1e-10.
#[test]
fn optimizers_end_at_minimizers_of_argmin() {
    for oracle in ORACLES {
        let classic = ours(oracle);
        let start = Point::at(classic.start);
        let recorded = objective(&start, classic.f);
        let optimizers = [
            NewtonCgConfig::new().optimizer().with_gradient_tolerance(0.0).init(&recorded).unwrap(),
            TrustRegionNewtonConfig::new()
                .optimizer()
                .with_gradient_tolerance(0.0)
                .init(&recorded)
                .unwrap(),
        ];
        for mut optimizer in optimizers {
            let (end, _) = run(&mut optimizer, start.clone(), 1e-12, 100);
            let x = end.values();
            let (gradient, mut hessian) = ((oracle.gradient)(&x), (oracle.hessian)(&x));
            let Some(step) = solve_positive(&mut hessian, &gradient) else {
                panic!("{} at {x:?}: the Hessian is not positive definite", oracle.name)
            };
            let length = step.iter().map(|d| d * d).sum::<f64>().sqrt();
            assert!(length <= 1e-10, "{} at {x:?}: {length:e} away", oracle.name);
        }
    }
}

/// A⁻¹b by Gaussian elimination without pivoting; nothing if a pivot is not positive, which is so exactly if the symmetric A
/// is not positive definite.
fn solve_positive(a: &mut [Vec<f64>], b: &[f64]) -> Option<Vec<f64>> {
    let mut x = b.to_vec();
    for k in 0..x.len() {
        let row = a[k].clone();
        if row[k] <= 0.0 {
            return None;
        }
        for i in k + 1..x.len() {
            let factor = a[i][k] / row[k];
            for j in k..x.len() {
                a[i][j] -= factor * row[j];
            }
            x[i] -= factor * x[k];
        }
    }
    for k in (0..x.len()).rev() {
        let known: f64 = (k + 1..x.len()).map(|j| a[k][j] * x[j]).sum();
        x[k] = (x[k] - known) / a[k][k];
    }
    Some(x)
}
