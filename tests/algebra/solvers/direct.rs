//! The direct solver against Gaussian elimination.

use crate::failure::failure;
use burn_curvature::{
    DirectConfig, LinearOperator, LinearSolver, Precision, SolveOptions, StopReason,
    errors::{OperatorError, SolverError},
    operator::{Dense, Diagonal, FromFn},
    solver::{Direct, DirectMethod, Iteration, Method, UnusedOption},
};

use super::{check_report, operator, x_of};
use crate::{
    TestBackend, assert_close,
    dense::Rows,
    flat,
    oracle::{logarithmic, matrix, solve, with_spectrum},
    random::SplitMix64,
};

/// Every factorization against Gaussian elimination.
fn direct_solves<B: TestBackend>() {
    let definite = logarithmic(0.1, 10.0, 12);
    let indefinite: Vec<f64> =
        definite.iter().enumerate().map(|(i, x)| if i % 3 == 0 { -x } else { *x }).collect();
    let cases = [
        (&definite, DirectMethod::Automatic, Method::Cholesky),
        (&definite, DirectMethod::Cholesky, Method::Cholesky),
        (&definite, DirectMethod::BunchKaufman, Method::BunchKaufman),
        (&indefinite, DirectMethod::Automatic, Method::EigenDecomposition),
        (&indefinite, DirectMethod::BunchKaufman, Method::BunchKaufman),
        (&indefinite, DirectMethod::EigenDecomposition, Method::EigenDecomposition),
    ];
    for &precision in B::PRECISIONS {
        for (spectrum, asked, got) in cases {
            for seed in 0..3 {
                let rows = with_spectrum(spectrum, seed);
                let b = SplitMix64::new(seed).normals(12);
                let rhs = flat::<B>(&b, precision);
                let counted = operator(&rows, rhs.space()).counted();
                let solver = DirectConfig::new().with_method(asked).init().unwrap();
                let solution = solver.solve(&counted, &rhs).unwrap();
                assert_eq!(
                    (solution.report.stop, solution.report.method),
                    (StopReason::Solved, got)
                );
                assert_close(&x_of(&solution), &solve(&rows, &b), 2000.0 * precision.epsilon());
                check_report(&solution.report, &rows, &x_of(&solution), &b);
                assert_eq!((solution.report.applications, counted.applications()), (13, 13));
                if got == Method::EigenDecomposition {
                    let condition = solution.report.spectrum.unwrap().condition.unwrap();
                    assert!((condition / 100.0 - 1.0).abs() < 1e-4, "{condition}");
                }
            }
        }
    }
    let rhs = flat::<B>(&[1.0; 12], Precision::F64);
    let refused = DirectConfig::new().with_method(DirectMethod::Cholesky).init().unwrap();
    let refused =
        refused.solve(&operator(&with_spectrum(&indefinite, 1), rhs.space()), &rhs).unwrap_err();
    assert_eq!(
        refused.downcast_ref(),
        Some(&SolverError::Factorization { method: Method::Cholesky })
    );
}
on_backends!(direct_solves: ndarray, flex, dispatch);

/// A factorization without eigenvalues reports a direction of negative curvature where there is one, and none where the
/// matrix is definite, or singular up to rounding.
fn direct_negative_curvature<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let found = |rows: &Rows| {
            let rhs = flat::<B>(&SplitMix64::new(5).normals(rows.len()), precision);
            let solver =
                DirectConfig::new().with_method(DirectMethod::BunchKaufman).init().unwrap();
            let report = solver.solve(&operator(rows, rhs.space()), &rhs).ok()?.report;
            report.negative_curvature
        };
        // Blocks of two rows, of which the smaller eigenvalue is known.
        for [[a, b], [c, d]] in
            [[[0.0, 1.0], [1.0, 0.0]], [[1.0, 3.0], [3.0, 1.5]], [[1.5, 3.0], [3.0, 1.0]]]
        {
            let least: f64 = 0.5 * (a + d) - f64::hypot(0.5 * (a - d), b);
            let curvature = found(&vec![vec![a, b], vec![c, d]]).unwrap();
            assert!((curvature / least - 1.0).abs() < 1e-6, "{curvature} {least}");
        }
        let definite = logarithmic(0.1, 10.0, 12);
        for seed in 0..10 {
            for negative in [&[0][..], &[11], &[3, 7], &[0, 1, 2, 5, 8, 11]] {
                let mut spectrum = definite.clone();
                negative.iter().for_each(|&at| spectrum[at] *= -1.0);
                let least = spectrum.iter().copied().fold(0.0, f64::min);
                let curvature = found(&with_spectrum(&spectrum, seed)).unwrap();
                let allowed = least * (1.0 + 1e3 * precision.epsilon());
                assert!((allowed..0.0).contains(&curvature), "{curvature} {least}");
            }
            assert_eq!(found(&with_spectrum(&definite, seed)), None);
            let mut singular = definite.clone();
            singular[..5].fill(0.0);
            assert_eq!(found(&with_spectrum(&singular, seed)), None);
        }
    }
}
on_backends!(direct_negative_curvature: ndarray, flex, dispatch);

/// Singular systems: the shortest least-squares solution, and the fact reported.
fn direct_singular<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rhs = flat::<B>(&[2.0, -3.0, 5.0, 1.0], precision);
        let a = Diagonal::new(rhs.space().vector(&[1.0, -3.0, 0.0, 1e-12]).unwrap()).unwrap();
        let solver = DirectConfig::new().with_singular_below(Some(1e-10)).init().unwrap();
        let solution = solver.solve(&a, &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::Singular);
        assert_close(&x_of(&solution), &[2.0, 1.0, 0.0, 0.0], 1e-6);
        assert!((solution.report.true_residual - 26f64.sqrt()).abs() < 1e-5);
        assert_eq!(solution.report.spectrum.unwrap().condition, None);
        let zero = solver.solve(&Diagonal::new(rhs.space().zeros()).unwrap(), &rhs).unwrap();
        assert_eq!((zero.report.stop, x_of(&zero)), (StopReason::Singular, vec![0.0; 4]));
        let refused = DirectConfig::new().with_method(DirectMethod::BunchKaufman).init().unwrap();
        let refused =
            refused.solve(&Diagonal::new(rhs.space().zeros()).unwrap(), &rhs).unwrap_err();
        assert_eq!(
            refused.downcast_ref(),
            Some(&SolverError::Factorization { method: Method::BunchKaufman })
        );
    }
}
on_backends!(direct_singular: ndarray, flex, dispatch, wgpu);

fn direct_many_and_limits<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let rows = with_spectrum(&logarithmic(1.0, 30.0, 9), 2);
    let all: Vec<Vec<f64>> = (0..4).map(|seed| SplitMix64::new(seed).normals(9)).collect();
    let rhs: Vec<_> = all.iter().map(|b| flat::<B>(b, precision)).collect();
    let counted = operator(&rows, rhs[0].space()).counted();
    let solver: Direct = DirectConfig::new().init().unwrap();
    let solutions = solver.solve_many(&counted, &rhs).unwrap();
    assert_eq!((solutions.len(), counted.applications()), (4, 9 + 4));
    for (solution, b) in solutions.iter().zip(&all) {
        assert_close(&x_of(solution), &solve(&rows, b), 2000.0 * precision.epsilon());
        assert_eq!(solution.report.applications, 10);
    }
    assert!(solver.solve_many(&counted, &[]).unwrap().is_empty());
    let zero = solver.solve(&counted, &rhs[0].space().zeros()).unwrap();
    assert_eq!((x_of(&zero), zero.report.relative_residual), (vec![0.0; 9], 0.0));

    let small = DirectConfig::new().with_max_size(8).init().unwrap();
    let refused = small.solve(&counted, &rhs[0]).unwrap_err();
    assert_eq!(
        refused.downcast_ref(),
        Some(&OperatorError::TooLarge { rows: 9, columns: 9, limit: 8 })
    );
    let mut lopsided = rows.clone();
    lopsided[0][5] += 1.0;
    let lopsided = Dense::new(&matrix(&lopsided), rhs[0].space()).unwrap();
    let refused = solver.solve(&lopsided.assume_self_adjoint().unwrap(), &rhs[0]).unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(OperatorError::NotSymmetric { .. })));
}
on_backends!(direct_many_and_limits: ndarray, flex, dispatch);

/// A guess is honoured; what a factorization has no use for is refused; a matrix singular to rounding is noticed.
fn direct_options<B: TestBackend>() {
    let solver = DirectConfig::new().init().unwrap();
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&logarithmic(0.1, 10.0, 12), 3);
        let (b, guess) = (SplitMix64::new(1).normals(12), SplitMix64::new(2).normals(12));
        let rhs = flat::<B>(&b, precision);
        let a = operator(&rows, rhs.space()).counted();
        let options = SolveOptions::new().with_initial_guess(rhs.space().vector(&guess).unwrap());
        let solution = solver.solve_with(&a, &rhs, options).unwrap();
        assert_eq!(solution.report.stop, StopReason::Solved);
        assert_eq!((solution.report.applications, a.applications()), (14, 14));
        assert_close(&x_of(&solution), &solve(&rows, &b), 2000.0 * precision.epsilon());
        // Of a singular system, the least-squares solution closest to the guess.
        let a = Diagonal::new(rhs.space().zeros()).unwrap();
        let options = SolveOptions::new().with_initial_guess(rhs.space().vector(&guess).unwrap());
        let solution = solver.solve_with(&a, &rhs, options).unwrap();
        assert_eq!(solution.report.stop, StopReason::Singular);
        assert_close(&x_of(&solution), &guess, precision.epsilon());
        // The solution of b = 0 is 0, whatever the guess.
        let options = SolveOptions::new().with_initial_guess(rhs.clone());
        let zero = solver.solve_with(&a, &rhs.space().zeros(), options).unwrap();
        assert_eq!(x_of(&zero), vec![0.0; 12]);

        let refused = |option| SolverError::OptionRefused { solver: "Direct", option };
        let options = SolveOptions::new().with_preconditioner(&a);
        let found = solver.solve_with(&a, &rhs, options).unwrap_err();
        assert_eq!(found.downcast_ref(), Some(&refused(UnusedOption::Preconditioner)));
        let mut observer = |_: &Iteration<'_, B>| {};
        let options = SolveOptions::new().with_observer(&mut observer);
        let found = solver.solve_with(&a, &rhs, options).unwrap_err();
        assert_eq!(found.downcast_ref(), Some(&refused(UnusedOption::Observer)));
        let many: &dyn LinearSolver<B> = &solver;
        let found = many.solve_many_with(&a, std::slice::from_ref(&rhs), Some(&a)).unwrap_err();
        assert_eq!(found.downcast_ref(), Some(&refused(UnusedOption::Preconditioner)));
        let longer = flat::<B>(&[1.0; 13], precision);
        let options = SolveOptions::new().with_initial_guess(longer);
        assert!(solver.solve_with(&a, &rhs, options).is_err());
    }
    // (1 1; 1 1) plus rounding is not exactly singular, and b is far from its range.
    let rhs = flat::<B>(&[1.0, -1.0], Precision::F64);
    let rows = vec![vec![1.0, 1.0], vec![1.0, 1.0 + 1e-17]];
    for method in [DirectMethod::BunchKaufman, DirectMethod::Cholesky] {
        let solver = DirectConfig::new().with_method(method).init().unwrap();
        let found = solver.solve(&operator(&rows, rhs.space()), &rhs);
        assert!(matches!(failure(&found), Some(SolverError::Factorization { .. })));
    }
    let found = solver.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
    assert_eq!(found.report.stop, StopReason::Singular);
}
on_backends!(direct_options: ndarray, flex, dispatch);

/// A matrix without full rank, by factorizations that do not look for one: an error, or a residual that is small.
fn direct_on_singular_matrices<B: TestBackend>() {
    let mut refused = 0;
    for &precision in B::PRECISIONS {
        for seed in 0..40 {
            let n = 2 + seed as usize % 6;
            let mut spectrum = logarithmic(0.1, 10.0, n);
            spectrum[0] = 0.0;
            let rows = with_spectrum(&spectrum, seed);
            let rhs = flat::<B>(&SplitMix64::new(seed).normals(n), precision);
            for method in
                [DirectMethod::Cholesky, DirectMethod::BunchKaufman, DirectMethod::Automatic]
            {
                let solver = DirectConfig::new().with_method(method).init().unwrap();
                match solver.solve(&operator(&rows, rhs.space()), &rhs) {
                    Ok(solution) => {
                        let report = &solution.report;
                        let small = report.relative_residual <= 1e-2;
                        assert!(small || !report.stop.is_success(), "{method:?}\n{report}");
                    }
                    Err(error) => {
                        let found = error.downcast_ref();
                        let failed = matches!(found, Some(SolverError::Factorization { .. }));
                        assert!(failed && method != DirectMethod::Automatic, "{error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 40, "{refused}");
}
on_backends!(direct_on_singular_matrices: ndarray, flex, dispatch);

/// A solution that is zero, or infinite, in f32.
fn direct_solutions_out_of_range<B: TestBackend>() {
    for (scale, size) in [(1e30, 1e-30), (1e-30, 1e30)] {
        let rows = vec![vec![2.0 * scale, scale], vec![scale, 3.0 * scale]];
        let rhs = flat::<B>(&[size, 2.0 * size], Precision::F32);
        for method in [DirectMethod::Automatic, DirectMethod::EigenDecomposition] {
            let solver = DirectConfig::new().with_method(method).init().unwrap();
            let found = solver.solve(&operator(&rows, rhs.space()), &rhs);
            assert!(
                matches!(failure(&found), Some(SolverError::SolutionRange { .. })),
                "{method:?}: {found:?}"
            );
        }
    }
}
on_backends!(direct_solutions_out_of_range: ndarray, flex, dispatch);

/// A product that is not quite that of the symmetric matrix that is factorized: it is refined where products are those of
/// another matrix, and not called solved where they are not those of any.
fn direct_residuals_beyond_rounding<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..10 {
            let mut rows = with_spectrum(&logarithmic(0.1, 10.0, 12), seed);
            let b = SplitMix64::new(seed).normals(12);
            let rhs = flat::<B>(&b, precision);
            let (noisy, calls) = (operator(&rows, rhs.space()), std::cell::Cell::new(0));
            let noisy = FromFn::new(rhs.space(), |v| {
                calls.set(calls.get() + 1);
                let size = 6e-5 * v.norm()?;
                Ok(noisy.apply(v)?.axpy(size, &v.space().normal(calls.get()))?)
            });
            let solver = DirectConfig::new().init().unwrap();
            let noisy = noisy.unwrap().assume_self_adjoint().unwrap();
            let found = solver.solve(&noisy, &rhs).unwrap().report;
            assert!((1e-5..1e-2).contains(&found.relative_residual), "{found}");
            assert_eq!(found.stop, StopReason::Stagnation, "{found}");

            rows[2][7] += 2e-4;
            rows[7][2] -= 2e-4;
            let skew = Dense::new(&matrix(&rows), rhs.space()).unwrap();
            let skew = skew.assume_self_adjoint().unwrap();
            for method in [DirectMethod::Automatic, DirectMethod::BunchKaufman] {
                let solver = DirectConfig::new().with_method(method).init().unwrap();
                let solution = solver.solve(&skew, &rhs).unwrap();
                assert_eq!(solution.report.stop, StopReason::Solved, "{}", solution.report);
                assert_close(&x_of(&solution), &solve(&rows, &b), 2000.0 * precision.epsilon());
            }
        }
    }
}
on_backends!(direct_residuals_beyond_rounding: ndarray, flex, dispatch);
