//! The Nyström approximation: as an operator, a solver and a preconditioner.

use crate::failure::failure;
use burn_curvature::{
    LinearOperator, LinearSolver, Precision, SolveOptions, StopReason,
    errors::{SolverError, VectorError},
    materialize,
    operator::{Diagonal, check_self_adjoint},
    solver::{Iteration, MethodDetail, Nystrom, NystromConfig, UnusedOption},
};

use super::{INDEFINITE, check_report, conjugate_gradient, diagonal_rows, operator, tight, x_of};
use crate::{
    TestBackend, assert_close, flat,
    oracle::{logarithmic, solve, with_spectrum},
    random::SplitMix64,
    relative_error,
};

fn nystrom(rank: usize, damping: f64, seed: u64) -> Nystrom {
    NystromConfig::new(rank, damping).with_seed(seed).init().unwrap()
}

/// Exact where A has no more rank than the sketch; eigenvalues from below; operator, inverse and preconditioner agree.
fn nystrom_low_rank<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..4 {
            let n = 25;
            let mut spectrum = vec![0.0; n];
            spectrum[..5].copy_from_slice(&[40.0, 10.0, 8.0, 3.0, 1.0]);
            let rows = with_spectrum(&spectrum, seed);
            let b = SplitMix64::new(seed).normals(n);
            let rhs = flat::<B>(&b, precision);
            let damping = 0.1;
            let damped = operator(&rows, rhs.space()).damped(damping).unwrap();
            let mut whole = rows.clone();
            (0..n).for_each(|i| whole[i][i] += damping);
            for rank in [8, 12, 25, 40] {
                let counted = (&damped).counted();
                let solver = nystrom(rank, damping, seed);
                let solution = solver.solve(&counted, &rhs).unwrap();
                let report = &solution.report;
                let floor = 400.0 * precision.epsilon() * 400.0;
                let error = relative_error(&x_of(&solution), &solve(&whole, &b));
                assert!(error <= floor, "{error:e} rank {rank}");
                assert_eq!(counted.applications(), rank.min(n) + 1);
                assert_eq!(report.applications, rank.min(n) + 1);
                if precision == Precision::F64 {
                    assert_eq!(report.stop, StopReason::Converged, "{report}");
                }
                check_report(report, &whole, &x_of(&solution), &b);
                let approximation = solver.approximate(&damped).unwrap();
                let found = approximation.eigenvalues();
                assert!(found.len() >= 5 && found.len() <= rank);
                assert_close(&found[..5], &spectrum[..5], 1e4 * precision.epsilon());
                let inverse = approximation.inverse().unwrap();
                let one = approximation.operator().unwrap().times(inverse).unwrap();
                let one = materialize(&one).unwrap();
                let identity = diagonal_rows(&vec![1.0; n]).concat();
                assert_close(one.values(), &identity, 5e3 * precision.epsilon());
                let p = approximation.preconditioner().unwrap();
                check_self_adjoint(&p, 1).unwrap();
                let top = found[found.len() - 1] + damping;
                let scaled = approximation.inverse().unwrap().scaled(top).unwrap();
                let v = rhs.space().vector(&x_of(&solution)).unwrap();
                // On the range of U the two are the same.
                let image = approximation.operator().unwrap().apply(&v).unwrap();
                let image = image.axpy(-damping, &v).unwrap();
                let (left, right) = (p.apply(&image).unwrap(), scaled.apply(&image).unwrap());
                let (left, right) = (left.to_vec().unwrap(), right.to_vec().unwrap());
                assert_close(&left, &right, 5e4 * precision.epsilon());
            }
        }
    }
}
on_backends!(nystrom_low_rank: ndarray, flex, dispatch);

/// On a decaying spectrum a rank of 2⌈1.5 d⌉ + 1 for the effective dimension d = Σ λᵢ/(λᵢ + λ) makes the condition number
/// of the preconditioned system less than 28 (on average), and conjugate gradients as fast as that says.
fn nystrom_preconditioner<B: TestBackend>() {
    let n = 120;
    for &precision in B::PRECISIONS {
        for seed in 0..3 {
            let spectrum = logarithmic(100.0, 1e-22, n);
            let rows = with_spectrum(&spectrum, seed);
            let b = SplitMix64::new(seed + 1).normals(n);
            let rhs = flat::<B>(&b, precision);
            let damping = 1e-2;
            let damped = operator(&rows, rhs.space()).damped(damping).unwrap();
            let dimension: f64 = spectrum.iter().map(|a| a / (a + damping)).sum();
            let rank = 2 * (1.5 * dimension).ceil() as usize + 1;
            let tolerance = 100.0 * tight(precision);
            let solver = conjugate_gradient(tolerance).init().unwrap();
            let plain = solver.solve(&damped, &rhs).unwrap().report;
            let mut last = plain.iterations;
            for rank in [rank / 4, rank / 2, rank.min(n)] {
                let approximation = nystrom(rank, damping, seed).approximate(&damped).unwrap();
                let p = approximation.preconditioner().unwrap();
                let options = SolveOptions::new().with_preconditioner(&p);
                let report = solver.solve_with(&damped, &rhs, options).unwrap().report;
                assert_eq!(report.stop, StopReason::Converged, "{report}");
                assert!(report.iterations <= last, "{} {last}", report.iterations);
                last = report.iterations;
                if rank >= n / 2 {
                    let condition = report.spectrum.unwrap().condition.unwrap();
                    assert!(condition < 28.0, "{condition}");
                    let root = 28f64.sqrt();
                    let most = (tolerance / 200.0).ln() / ((root - 1.0) / (root + 1.0)).ln();
                    assert!(report.iterations as f64 <= most);
                }
            }
            assert!(4 * last < plain.iterations, "{last} {}", plain.iterations);
        }
    }
}
on_backends!(nystrom_preconditioner: ndarray, flex, dispatch);

/// As a solver on what the rank does not hold: an honest residual that falls with the rank.
fn nystrom_approximates<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let n = 60;
        let rows = with_spectrum(&logarithmic(10.0, 1e-3, n), 2);
        let b = SplitMix64::new(3).normals(n);
        let rhs = flat::<B>(&b, precision);
        let damped = operator(&rows, rhs.space()).damped(0.1).unwrap();
        let mut whole = rows;
        (0..n).for_each(|i| whole[i][i] += 0.1);
        let mut last = 20.0; // what is left out, over λ
        for rank in [10, 20, 40] {
            let solver = nystrom(rank, 0.1, 7);
            let solution = solver.solve(&damped, &rhs).unwrap();
            let report = &solution.report;
            assert_eq!(report.stop, StopReason::Approximated, "{report}");
            assert!(report.relative_residual < 0.7 * last, "{report}");
            last = report.relative_residual;
            check_report(report, &whole, &x_of(&solution), &b);
            let Some(MethodDetail::Nystrom { rank: found, smallest, largest, .. }) = report.detail
            else {
                panic!("{report}")
            };
            assert!(found == rank && smallest < largest && (8.0..=10.001).contains(&largest));
            if rank < 40 {
                continue;
            }
            // Where what is left out is small compared with λ, a second step improves the first.
            let options = SolveOptions::new().with_initial_guess(solution.x.clone());
            let better = solver.solve_with(&damped, &rhs, options).unwrap();
            assert!(better.report.relative_residual < report.relative_residual);
        }
        let many =
            nystrom(40, 0.1, 7).solve_many(&damped, &[rhs.clone(), rhs.space().zeros()]).unwrap();
        assert_eq!(many[0].report.relative_residual, last);
        assert_eq!((many[0].report.applications, many[1].report.stop), (41, StopReason::Converged));
        assert!(nystrom(4, 1.0, 1).solve_many(&damped, &[]).unwrap().is_empty());
        // The solution of b = 0 is 0 from wherever it starts.
        let options = SolveOptions::new().with_initial_guess(rhs.clone());
        let zero = nystrom(4, 0.1, 1).solve_with(&damped, &rhs.space().zeros(), options).unwrap();
        assert_eq!((zero.report.stop, zero.report.true_residual), (StopReason::Converged, 0.0));
    }
}
on_backends!(nystrom_approximates: ndarray, flex, dispatch);

fn nystrom_refuses<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rhs = flat::<B>(&SplitMix64::new(1).normals(10), precision);
        let indefinite = Diagonal::new(rhs.space().vector(&INDEFINITE).unwrap()).unwrap();
        for seed in 0..5 {
            let damped = (&indefinite).damped(0.5).unwrap();
            let refused = nystrom(6, 0.5, seed).solve(&damped, &rhs).unwrap_err();
            assert!(
                matches!(refused.downcast_ref(), Some(SolverError::Indefinite { found }) if *found < 0.0),
                "{refused}"
            );
        }
        // Less damping in the operator than the configuration says.
        let small = Diagonal::new(rhs.space().full(0.1)).unwrap();
        let refused = nystrom(3, 0.5, 0).solve(&small, &rhs).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(SolverError::Indefinite { .. })));
        // Nothing but damping.
        let nothing = Diagonal::new(rhs.space().zeros()).unwrap().damped(0.5).unwrap();
        let solution = nystrom(3, 0.5, 0).solve(&nothing, &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
        let twice: Vec<f64> = rhs.to_vec().unwrap().iter().map(|b| 2.0 * b).collect();
        assert_close(&x_of(&solution), &twice, 1e-6);

        let refused = |option| SolverError::OptionRefused { solver: "Nystrom", option };
        let solver = nystrom(3, 0.5, 0);
        let options = SolveOptions::new().with_preconditioner(&nothing);
        let found = solver.solve_with(&nothing, &rhs, options).unwrap_err();
        assert_eq!(found.downcast_ref(), Some(&refused(UnusedOption::Preconditioner)));
        let mut observer = |_: &Iteration<'_, B>| {};
        let options = SolveOptions::new().with_observer(&mut observer);
        let found = solver.solve_with(&nothing, &rhs, options).unwrap_err();
        assert_eq!(found.downcast_ref(), Some(&refused(UnusedOption::Observer)));

        let mut values = vec![1.0; 10];
        values[4] = f64::NAN;
        let bad = rhs.space().vector(&values).unwrap();
        let fine = Diagonal::new(rhs.space().ones()).unwrap().damped(0.5).unwrap();
        let options = SolveOptions::new().with_initial_guess(bad.clone());
        for refused in [
            nystrom(3, 0.5, 0).solve(&fine, &bad),
            nystrom(3, 0.5, 0).solve(&Diagonal::new(bad).unwrap(), &rhs),
            nystrom(3, 0.5, 0).solve_with(&fine, &rhs, options),
        ] {
            assert!(matches!(failure(&refused), Some(VectorError::NonFinite { .. })));
        }
        assert!(matches!(
            failure(&nystrom(3, 0.5, 0).solve(&fine, &flat::<B>(&[1.0; 3], precision))),
            Some(VectorError::LayoutMismatch { .. })
        ));
    }
    let field = |config: NystromConfig| config.init().unwrap_err().field;
    assert_eq!(field(NystromConfig::new(0, 1.0)), "rank");
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(NystromConfig::new(1, bad)), "damping");
        let config = NystromConfig::new(1, 1.0).with_relative_tolerance(bad);
        assert_eq!(field(config), "relative_tolerance");
    }
    let config = NystromConfig::new(7, 0.5).with_seed(3);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<NystromConfig>(&json).unwrap(), config);
}
on_backends!(nystrom_refuses: ndarray, flex, dispatch);
