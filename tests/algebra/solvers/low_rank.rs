//! The solver of low rank plus diagonal, by Woodbury's formula.

use crate::failure::failure;
use burn_curvature::{
    StopReason,
    errors::{OperatorError, VectorError},
    operator::LowRank,
    solver::{Method, Woodbury},
};

use super::{check_report, x_of};
use crate::{
    TestBackend, assert_close,
    dense::{Rows, dot},
    flat,
    oracle::solve,
    random::SplitMix64,
    relative_error,
};

fn sum_of(vectors: &[Vec<f64>], weight: f64, damping: f64) -> Rows {
    let n = vectors[0].len();
    let entry = |i: usize, j: usize| {
        let sum: f64 = vectors.iter().map(|v| v[i] * v[j]).sum();
        weight * sum + if i == j { damping } else { 0.0 }
    };
    (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
}

/// The empirical Fisher matrix of a few samples, damped: against elimination, at growing condition numbers.
fn woodbury<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for (seed, damping) in [(0, 1.0), (1, 1e-2), (2, 1e-4)] {
            let n = 30;
            let vectors: Vec<Vec<f64>> =
                (0..8).map(|i| SplitMix64::new(seed + 10 * i).normals(n)).collect();
            let b = SplitMix64::new(seed + 5).normals(n);
            let rhs = flat::<B>(&b, precision);
            let gradients: Vec<_> =
                vectors.iter().map(|v| rhs.space().vector(v).unwrap()).collect();
            let fisher = LowRank::mean_of(&gradients).unwrap().with_damping(damping).unwrap();
            let rows = sum_of(&vectors, 1.0 / 8.0, damping);
            let solver = Woodbury::new(fisher).unwrap();
            let solution = solver.solve(&rhs).unwrap();
            let report = &solution.report;
            assert_eq!((report.stop, report.method), (StopReason::Solved, Method::Woodbury));
            check_report(report, &rows, &x_of(&solution), &b);
            let spectrum = report.spectrum.unwrap();
            let eigenvalues = crate::oracle::matrix(&rows).eigenvalues().unwrap();
            assert!((spectrum.smallest / damping - 1.0).abs() < 1e-6);
            assert!((spectrum.largest / eigenvalues[n - 1] - 1.0).abs() < 1e-4);
            let condition = spectrum.condition.unwrap();
            let error = relative_error(&x_of(&solution), &solve(&rows, &b));
            assert!(error <= 20.0 * condition * precision.epsilon(), "{error:e} {condition:e}");
            // Refined: a residual of the size of rounding in b − A x.
            let x = x_of(&solution);
            let floor = eigenvalues[n - 1] * dot(&x, &x).sqrt() + report.rhs_norm;
            assert!(report.true_residual <= 10.0 * precision.epsilon() * floor, "{report}");
            let many = solver.solve_many(&[rhs.clone(), rhs.space().zeros()]).unwrap();
            assert_eq!(x_of(&many[0]), x_of(&solution));
            assert_eq!(x_of(&many[1]), vec![0.0; n]);
        }
        // More samples than parameters: the eigenvalues are still those of A.
        let vectors: Vec<Vec<f64>> = (0..9).map(|i| SplitMix64::new(50 + i).normals(4)).collect();
        let rhs = flat::<B>(&[1.0, 2.0, 3.0, 4.0], precision);
        let gradients: Vec<_> = vectors.iter().map(|v| rhs.space().vector(v).unwrap()).collect();
        let fisher = LowRank::mean_of(&gradients).unwrap().with_damping(1e-3).unwrap();
        let rows = sum_of(&vectors, 1.0 / 9.0, 1e-3);
        let eigenvalues = crate::oracle::matrix(&rows).eigenvalues().unwrap();
        let report = Woodbury::new(fisher).unwrap().solve(&rhs).unwrap().report;
        let spectrum = report.spectrum.unwrap();
        let found = [spectrum.smallest, spectrum.largest];
        assert_close(&found, &[eigenvalues[0], eigenvalues[3]], 1e3 * precision.epsilon());

        let v = flat::<B>(&[1.0, 2.0], precision);
        let plain = LowRank::mean_of(std::slice::from_ref(&v)).unwrap();
        assert!(matches!(
            failure(&Woodbury::new(plain.clone())),
            Some(OperatorError::NotInvertible { .. })
        ));
        let solver = Woodbury::new(plain.with_damping(1.0).unwrap()).unwrap();
        let bad = v.space().vector(&[f64::NAN, 1.0]).unwrap();
        assert!(matches!(failure(&solver.solve(&bad)), Some(VectorError::NonFinite { .. })));
        assert!(matches!(
            failure(&solver.solve(&flat::<B>(&[1.0; 3], precision))),
            Some(VectorError::LayoutMismatch { .. })
        ));
    }
}
on_backends!(woodbury: ndarray, flex, dispatch);

/// A residual that no refinement lowers is no solution.
fn woodbury_beyond_rounding<B: TestBackend>() {
    let mut stagnant = 0;
    for &precision in B::PRECISIONS {
        for seed in 0..10 {
            let v = flat::<B>(&SplitMix64::new(seed).normals(4), precision);
            let operator = LowRank::new(std::slice::from_ref(&v), &[1.0]).unwrap();
            let operator = operator.with_damping(1e-20).unwrap();
            let solution = Woodbury::new(operator).unwrap().solve(&v).unwrap();
            let report = &solution.report;
            let solved = report.relative_residual <= 1e-2;
            let expected = if solved { StopReason::Solved } else { StopReason::Stagnation };
            assert_eq!(report.stop, expected, "{report}");
            stagnant += usize::from(!solved);
        }
    }
    assert!(stagnant > 5, "{stagnant}");
}
on_backends!(woodbury_beyond_rounding: ndarray, flex, dispatch);
