//! MINRES on singular systems: A⁺b with b in the range of A and outside it.

use burn_curvature::{
    LinearOperator, LinearSolver, MinresConfig, Precision, SolveOptions, StopReason,
    operator::Diagonal,
};

use super::{check_report, minimum_residual, operator, tight, x_of};
use crate::{
    TestBackend, assert_close,
    dense::{Rows, dot, multiply},
    flat,
    oracle::{logarithmic, with_spectrum},
    random::SplitMix64,
};

/// κ²ε for the κ = 40 of these systems, and a margin.
fn accuracy(precision: Precision) -> f64 {
    10.0 * 1600.0 * precision.epsilon()
}

/// A and A⁺ with four zero eigenvalues among 24, semidefinite or indefinite.
fn singular(indefinite: bool, seed: u64) -> (Rows, Rows) {
    let values: Vec<f64> = logarithmic(0.2, 8.0, 24)
        .iter()
        .enumerate()
        .map(|(i, value)| match i % 6 {
            2 => 0.0,
            4 if indefinite => -value,
            _ => *value,
        })
        .collect();
    let inverse = |value: &f64| if *value == 0.0 { 0.0 } else { 1.0 / value };
    let inverses: Vec<f64> = values.iter().map(inverse).collect();
    (with_spectrum(&values, seed), with_spectrum(&inverses, seed))
}

fn minres_singular<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for indefinite in [false, true] {
            for seed in 0..5 {
                let (rows, inverse) = singular(indefinite, seed);
                let outside = SplitMix64::new(seed + 5).normals(24);
                let inside = multiply(&rows, &outside);
                for (b, in_range) in [(inside, true), (outside, false)] {
                    for reorthogonalization in [false, true] {
                        let rhs = flat::<B>(&b, precision);
                        let a = operator(&rows, rhs.space()).counted();
                        let solver = minimum_residual(tight(precision))
                            .with_reorthogonalization(reorthogonalization)
                            .init()
                            .unwrap();
                        let solution = solver.solve(&a, &rhs).unwrap();
                        let report = &solution.report;
                        let expected =
                            if in_range { StopReason::Converged } else { StopReason::LeastSquares };
                        assert_eq!(report.stop, expected, "{report}");
                        assert_eq!(report.stop.is_success(), in_range);
                        assert_eq!(report.advice().contains("least-squares solution"), !in_range);
                        let shortest = multiply(&inverse, &b);
                        assert_close(&x_of(&solution), &shortest, accuracy(precision));
                        check_report(report, &rows, &x_of(&solution), &b);
                        assert_eq!(report.applications, a.applications());
                        assert!(report.iterations <= 40);
                    }
                }
            }
        }
    }
}
on_backends!(minres_singular: ndarray, flex, dispatch);

/// κ = 1000 with ten zero eigenvalues among 60, indefinite: many more steps than unknowns, or n with all vectors kept.
fn minres_singular_ill_conditioned<B: TestBackend>() {
    let values = logarithmic(0.01, 10.0, 60).into_iter().enumerate();
    let values: Vec<f64> = values
        .map(|(i, value)| match i % 6 {
            2 => 0.0,
            4 => -value,
            _ => value,
        })
        .collect();
    let inverse = |value: &f64| if *value == 0.0 { 0.0 } else { 1.0 / value };
    let inverses: Vec<f64> = values.iter().map(inverse).collect();
    for seed in 0..3 {
        let (rows, inverse) = (with_spectrum(&values, seed), with_spectrum(&inverses, seed));
        let b = SplitMix64::new(seed + 5).normals(60);
        let rhs = flat::<B>(&b, Precision::F64);
        for reorthogonalization in [false, true] {
            let config = minimum_residual(1e-12).with_reorthogonalization(reorthogonalization);
            let solution = config.init().unwrap();
            let solution = solution.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
            let report = &solution.report;
            assert_eq!(report.stop, StopReason::LeastSquares, "{report}");
            assert_close(&x_of(&solution), &multiply(&inverse, &b), 10.0 * 1e6 * f64::EPSILON);
            assert!(!reorthogonalization || report.iterations <= 51);
        }
    }
}
on_backends!(minres_singular_ill_conditioned: ndarray, flex, dispatch);

/// From another start, the least-squares solution closest to it.
fn minres_singular_guess<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..3 {
            let (rows, inverse) = singular(true, seed);
            let (b, guess) =
                (SplitMix64::new(seed + 8).normals(24), SplitMix64::new(seed + 9).normals(24));
            let product = multiply(&rows, &guess);
            let residual: Vec<f64> = b.iter().zip(&product).map(|(b, p)| b - p).collect();
            let moved = multiply(&inverse, &residual);
            let closest: Vec<f64> = guess.iter().zip(&moved).map(|(x, d)| x + d).collect();
            let rhs = flat::<B>(&b, precision);
            let options =
                SolveOptions::new().with_initial_guess(rhs.space().vector(&guess).unwrap());
            let solver = minimum_residual(tight(precision)).init().unwrap();
            let solution = solver.solve_with(&operator(&rows, rhs.space()), &rhs, options).unwrap();
            assert_eq!(solution.report.stop, StopReason::LeastSquares, "{}", solution.report);
            assert_close(&x_of(&solution), &closest, accuracy(precision));
        }
    }
}
on_backends!(minres_singular_guess: ndarray, flex, dispatch);

/// With a preconditioner: A M⁻¹ r = 0, and x has no part M⁻¹r left.
fn minres_singular_preconditioned<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for reorthogonalization in [false, true] {
            let (rows, _) = singular(true, 4);
            let b = SplitMix64::new(6).normals(24);
            let inverse = logarithmic(0.5, 2.0, 24);
            let rhs = flat::<B>(&b, precision);
            let m = Diagonal::new(rhs.space().vector(&inverse).unwrap()).unwrap();
            let solver = minimum_residual(tight(precision))
                .with_reorthogonalization(reorthogonalization)
                .init()
                .unwrap();
            let options = SolveOptions::new().with_preconditioner(&m);
            let solution = solver.solve_with(&operator(&rows, rhs.space()), &rhs, options).unwrap();
            assert_eq!(solution.report.stop, StopReason::LeastSquares, "{}", solution.report);
            let x = x_of(&solution);
            let product = multiply(&rows, &x);
            let r: Vec<f64> = b.iter().zip(&product).map(|(b, p)| b - p).collect();
            let z: Vec<f64> = r.iter().zip(&inverse).map(|(r, m)| r * m).collect();
            let normal = multiply(&rows, &z);
            let small = 100.0 * precision.epsilon().sqrt();
            assert!(dot(&normal, &normal).sqrt() <= small * dot(&r, &r).sqrt());
            assert!(dot(&r, &x).abs() <= small * (dot(&r, &r) * dot(&x, &x)).sqrt());
        }
    }
}
on_backends!(minres_singular_preconditioned: ndarray, flex, dispatch);

/// b in the null space, A = 0, and a cut of the caller's choice.
fn minres_null_space<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let b = flat::<B>(&[0.0, 0.0, 3.0], precision);
        let a = Diagonal::new(b.space().vector(&[1.0, -2.0, 0.0]).unwrap()).unwrap();
        let solver = MinresConfig::new().init().unwrap();
        for a in [a, Diagonal::new(b.space().zeros()).unwrap()] {
            let solution = solver.solve(&a, &b).unwrap();
            assert_eq!(solution.report.stop, StopReason::LeastSquares);
            assert_eq!((x_of(&solution), solution.report.iterations), (vec![0.0; 3], 0));
            assert_eq!(solution.report.true_residual, 3.0);
        }
    }
    // An eigenvalue of 1e-9 counts as zero if the caller says so.
    let b = flat::<B>(&[1.0, 2.0, 3.0], Precision::F64);
    let a = Diagonal::new(b.space().vector(&[1.0, -2.0, 1e-9]).unwrap()).unwrap();
    let cut = minimum_residual(1e-10).with_singular_below(Some(1e-8));
    let solution = cut.init().unwrap().solve(&a, &b).unwrap();
    assert_eq!(solution.report.stop, StopReason::LeastSquares);
    assert_close(&x_of(&solution), &[1.0, -1.0, 0.0], 1e-7);
    let exact = minimum_residual(1e-10).init().unwrap().solve(&a, &b).unwrap();
    assert_eq!(exact.report.stop, StopReason::Converged, "{}", exact.report);
    assert_close(&x_of(&exact), &[1.0, -1.0, 3e9], 1e-6);
}
on_backends!(minres_null_space: ndarray, flex, dispatch);
