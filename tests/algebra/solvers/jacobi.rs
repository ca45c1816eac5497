//! The Jacobi preconditioner.

use crate::failure::failure;
use burn_curvature::{
    Error, LinearOperator, LinearSolver, Precision, SolveOptions, StopReason,
    errors::{ConfigError, OperatorError, SolverError},
    solver::Jacobi,
};

use super::{conjugate_gradient, minimum_residual, operator, tight, x_of};
use crate::{
    TestBackend, assert_close, flat,
    oracle::{logarithmic, solve, with_spectrum},
    random::SplitMix64,
};

/// (d + λ)^−ξ, what is refused, and what it is for.
fn jacobi<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let d = flat::<B>(&[1.0, 3.5, 0.0, 15.5], precision);
        let v = d.space().vector(&[3.0, 4.0, 1.0, 32.0]).unwrap();
        let product = Jacobi::new(&d, 0.5).unwrap().apply(&v).unwrap();
        assert_close(&product.to_vec().unwrap(), &[2.0, 1.0, 2.0, 2.0], 4.0 * precision.epsilon());
        let half = Jacobi::with_exponent(&d, 0.5, 0.5).unwrap();
        let expected = [1.5f64.powf(-0.5), 0.5, 0.5f64.powf(-0.5), 0.25];
        assert_close(&half.inverse().to_vec().unwrap(), &expected, 4.0 * precision.epsilon());
        let fault = |result: Result<Jacobi<B>, Error>| match failure(&result) {
            Some(SolverError::Diagonal { found, count, .. }) => (*found, *count),
            _ => panic!("{:?}", result.err()),
        };
        assert_eq!(fault(Jacobi::new(&d, 0.0)), (0.0, 1));
        let negative = d.space().vector(&[1.0, -3.0, -0.5, f64::INFINITY]).unwrap();
        assert_eq!(fault(Jacobi::new(&negative, 1.0)), (-2.0, 2));
        let nan = d.space().full(f64::NAN);
        assert_eq!(fault(Jacobi::new(&nan, 1.0)).1, 4);
        assert!(matches!(failure(&Jacobi::new(&d, -1.0)), Some(OperatorError::Damping { .. })));
        for exponent in [0.0, -1.0, 1.5, f64::NAN] {
            assert!(matches!(
                failure(&Jacobi::with_exponent(&d, 1.0, exponent)),
                Some(ConfigError { .. })
            ));
        }
        scaled_systems::<B>(precision);
    }
}
on_backends!(jacobi: ndarray, flex, dispatch);

/// A badly scaled system: fewer iterations of either method, to the same solution.
fn scaled_systems<B: TestBackend>(precision: Precision) {
    let n = 24;
    let scales = logarithmic(1.0, 1e4, n);
    let mut rows = with_spectrum(&logarithmic(1.0, 10.0, n), 9);
    for i in 0..n {
        for j in 0..n {
            rows[i][j] *= (scales[i] * scales[j]).sqrt();
        }
    }
    let b = SplitMix64::new(10).normals(n);
    let rhs = flat::<B>(&b, precision);
    let a = operator(&rows, rhs.space());
    let diagonal: Vec<f64> = (0..n).map(|i| rows[i][i]).collect();
    let jacobi = Jacobi::new(&rhs.space().vector(&diagonal).unwrap(), 0.0).unwrap();
    let tolerance = tight(precision).max(1e-8);
    let (cg, minres) = (conjugate_gradient(tolerance), minimum_residual(tolerance));
    let (cg, minres) = (cg.init().unwrap(), minres.init().unwrap());
    let options = || SolveOptions::new().with_preconditioner(&jacobi);
    let plain = cg.solve(&a, &rhs).unwrap();
    for helped in [
        cg.solve_with(&a, &rhs, options()).unwrap(),
        minres.solve_with(&a, &rhs, options()).unwrap(),
    ] {
        assert_eq!(helped.report.stop, StopReason::Converged);
        assert!(2 * helped.report.iterations < plain.report.iterations);
        assert_close(&x_of(&helped), &solve(&rows, &b), 1e5 * tolerance);
    }
}
