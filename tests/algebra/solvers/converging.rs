//! Conjugate gradients on positive definite systems: against a dense solve, the theory, and themselves.

use burn_curvature::{
    ConjugateGradientConfig, LinearOperator, LinearSolver, Precision, SolveOptions, StopReason,
    operator::Diagonal,
    solver::{Iteration, OnNegativeCurvature},
};

use super::{
    INDEFINITE, check_report, conjugate_gradient, diagonal_rows, minimum_residual, operator,
    residual, tight, x_of,
};
use crate::{
    TestBackend, assert_close,
    dense::{dot, multiply},
    flat,
    oracle::{logarithmic, solve, with_spectrum},
    random::SplitMix64,
};

/// Random positive definite systems of given spectra against Gaussian elimination.
fn positive_definite_systems<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            for condition in [1.0, 10.0, 300.0] {
                let n = 30;
                let rows = with_spectrum(&logarithmic(0.5, 0.5 * condition, n), seed);
                let b = SplitMix64::new(seed + 50).normals(n);
                let rhs = flat::<B>(&b, precision);
                let solver = conjugate_gradient(tight(precision)).init().unwrap();
                let solution = solver.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
                assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
                let bound = condition * 2.0 * tight(precision);
                assert_close(&x_of(&solution), &solve(&rows, &b), bound);
                check_report(&solution.report, &rows, &x_of(&solution), &b);
                assert!(solution.negative_curvature.is_none());
                assert!(solution.report.true_residual <= solution.report.threshold.unwrap());
            }
        }
    }
}
on_backends!(positive_definite_systems: ndarray, flex, dispatch, wgpu);

/// ‖x − xₖ‖ in the norm of A falls at least as fast as 2((√κ − 1)/(√κ + 1))ᵏ.
fn convergence_bound<B: TestBackend>() {
    for seed in 0..5 {
        let (n, condition) = (40, 100.0f64);
        let rows = with_spectrum(&logarithmic(1.0, condition, n), seed);
        let b = SplitMix64::new(seed).normals(n);
        let exact = solve(&rows, &b);
        let energy = |x: &[f64]| {
            let e: Vec<f64> = exact.iter().zip(x).map(|(a, b)| a - b).collect();
            dot(&e, &multiply(&rows, &e)).max(0.0).sqrt()
        };
        let rate = (condition.sqrt() - 1.0) / (condition.sqrt() + 1.0);
        let start = energy(&vec![0.0; n]);
        let mut iterates = Vec::new();
        let mut observer = |iteration: &Iteration<'_, B>| {
            iterates.push((iteration.index, iteration.x.to_vec().unwrap()))
        };
        let rhs = flat::<B>(&b, Precision::F64);
        let solver = conjugate_gradient(1e-8).init().unwrap();
        let options = SolveOptions::new().with_observer(&mut observer);
        let solution = solver.solve_with(&operator(&rows, rhs.space()), &rhs, options).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        assert_eq!(iterates.len(), solution.report.iterations);
        for (k, x) in &iterates {
            let bound = 2.0 * rate.powi(*k as i32) * start;
            assert!(energy(x) <= bound * (1.0 + 1e-9), "step {k}: {} > {bound}", energy(x));
        }
        // ‖rₖ‖ ≤ √κ · 2 rateᵏ ‖b‖, so that this many steps suffice for the tolerance.
        let count = (2.0 * condition.sqrt() / 1e-8).ln() / -rate.ln();
        assert!(solution.report.iterations as f64 <= count.ceil());
        // The bound is met by more than trivial margins only if it is not vacuous.
        assert!(solution.report.iterations > 10);
    }
}
on_backends!(convergence_bound: ndarray, flex, dispatch);

/// As many iterations as different eigenvalues, counting every product.
fn few_eigenvalues<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let diagonal = flat::<B>(&[2.0, 5.0, 2.0, 9.0, 5.0, 9.0, 2.0], precision);
    let counted = Diagonal::new(diagonal.clone()).unwrap().counted();
    let solution =
        conjugate_gradient(1e-6).init().unwrap().solve(&counted, &diagonal.space().ones()).unwrap();
    assert_eq!(solution.report.stop, StopReason::Converged);
    assert_eq!(solution.report.iterations, 3);
    assert_eq!(solution.report.applications, 4);
    assert_eq!(counted.applications(), 4);
}
on_backends!(few_eigenvalues: ndarray, flex, dispatch, wgpu);

/// b = 0, an exact guess, one unknown.
fn degenerate_systems<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let diagonal = flat::<B>(&[1.0, 2.0, 4.0], precision);
        let a = Diagonal::new(diagonal.clone()).unwrap().counted();
        let solver = ConjugateGradientConfig::new().init().unwrap();
        let zero = solver.solve(&a, &diagonal.space().zeros()).unwrap();
        assert_eq!(zero.report.stop, StopReason::Converged);
        assert_eq!((x_of(&zero), a.applications()), (vec![0.0; 3], 0));
        assert_eq!((zero.report.relative_residual, zero.report.iterations), (0.0, 0));
        let options = SolveOptions::new().with_initial_guess(diagonal.clone());
        let zero = solver.solve_with(&a, &diagonal.space().zeros(), options).unwrap();
        assert_eq!((zero.report.stop, x_of(&zero)), (StopReason::Converged, vec![0.0; 3]));
        assert_eq!(zero.report.true_residual, 0.0);

        let options = SolveOptions::new().with_initial_guess(diagonal.space().ones());
        let exact = solver.solve_with(&a, &diagonal, options).unwrap();
        assert_eq!(exact.report.stop, StopReason::Converged);
        assert_eq!((exact.report.iterations, exact.report.applications), (0, 1));
        assert_eq!(x_of(&exact), [1.0; 3]);

        let one = flat::<B>(&[4.0], precision);
        let solution =
            solver.solve(&Diagonal::new(one.clone()).unwrap(), &one.space().full(2.0)).unwrap();
        assert_eq!((solution.report.stop, solution.report.iterations), (StopReason::Converged, 1));
        assert_eq!(x_of(&solution), [0.5]);
        let negative = solver
            .solve(&Diagonal::new(one.neg()).unwrap(), &flat::<B>(&[2.0], precision))
            .unwrap();
        assert_eq!(negative.report.stop, StopReason::NegativeCurvature);
        assert_eq!((x_of(&negative), negative.report.true_residual), (vec![0.0], 2.0));
    }
}
on_backends!(degenerate_systems: ndarray, flex, dispatch, wgpu);

/// A good guess saves iterations and leads to the same solution.
fn initial_guess<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let rows = with_spectrum(&logarithmic(1.0, 50.0, 20), 3);
    let b = SplitMix64::new(4).normals(20);
    let exact = solve(&rows, &b);
    let rhs = flat::<B>(&b, precision);
    let close: Vec<f64> = exact.iter().map(|x| x * (1.0 + 1e-4)).collect();
    let solver = conjugate_gradient(1e-6).init().unwrap();
    let cold = solver.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
    let options = SolveOptions::new().with_initial_guess(rhs.space().vector(&close).unwrap());
    let warm = solver.solve_with(&operator(&rows, rhs.space()), &rhs, options).unwrap();
    assert_eq!(
        (cold.report.stop, warm.report.stop),
        (StopReason::Converged, StopReason::Converged)
    );
    assert!(warm.report.iterations < cold.report.iterations);
    assert_close(&x_of(&warm), &exact, 1e-4);
}
on_backends!(initial_guess: ndarray, flex, dispatch, wgpu);

/// The recurrence for φ agrees with ½ xᵀA x − bᵀx, from zero and from a guess.
fn observed_objective<B: TestBackend>() {
    let rows = with_spectrum(&logarithmic(1.0, 50.0, 12), 5);
    let b = SplitMix64::new(6).normals(12);
    let rhs = flat::<B>(&b, Precision::F64);
    for guess in [vec![0.0; 12], SplitMix64::new(7).normals(12)] {
        let mut worst: f64 = 0.0;
        let mut last = 0;
        let mut observer = |iteration: &Iteration<'_, B>| {
            let x = iteration.x.to_vec().unwrap();
            let phi = 0.5 * dot(&x, &multiply(&rows, &x)) - dot(&b, &x);
            worst = worst.max((phi - iteration.objective).abs());
            assert_eq!(iteration.index, last + 1);
            assert!((iteration.residual - residual(&rows, &x, &b)).abs() < 1e-10);
            assert!(iteration.curvature >= 1.0 - 1e-9 && iteration.curvature <= 50.0 + 1e-9);
            last = iteration.index;
        };
        let options = SolveOptions::new()
            .with_initial_guess(rhs.space().vector(&guess).unwrap())
            .with_observer(&mut observer);
        let solver = conjugate_gradient(1e-10).init().unwrap();
        let solution = solver.solve_with(&operator(&rows, rhs.space()), &rhs, options).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        assert!(worst < 1e-11, "{worst:e}");
    }
}
on_backends!(observed_objective: ndarray, flex, dispatch);

/// A perfect preconditioner needs one step; a diagonal one helps a badly scaled system.
fn preconditioning<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let scales = logarithmic(1.0, 1e4, 24);
        let mut rows = with_spectrum(&logarithmic(1.0, 10.0, 24), 9);
        for i in 0..24 {
            for j in 0..24 {
                rows[i][j] *= (scales[i] * scales[j]).sqrt();
            }
        }
        let b = SplitMix64::new(10).normals(24);
        let rhs = flat::<B>(&b, precision);
        let inverse: Vec<f64> = (0..24).map(|i| 1.0 / rows[i][i]).collect();
        let jacobi = Diagonal::new(rhs.space().vector(&inverse).unwrap()).unwrap();
        let solver = conjugate_gradient(1e-5).init().unwrap();
        let a = operator(&rows, rhs.space());
        let plain = solver.solve(&a, &rhs).unwrap();
        let options = SolveOptions::new().with_preconditioner(&jacobi);
        let helped = solver.solve_with(&a, &rhs, options).unwrap();
        assert_eq!(helped.report.stop, StopReason::Converged, "{}", helped.report);
        assert!(2 * helped.report.iterations < plain.report.iterations);
        check_report(&helped.report, &rows, &x_of(&helped), &b);
        // The estimates are those of M⁻¹A.
        let spectrum = helped.report.spectrum.unwrap();
        assert!(spectrum.condition.unwrap() < 30.0, "{spectrum:?}");
        assert_close(&x_of(&helped), &solve(&rows, &b), 1e-3);
        let reorthogonalized =
            conjugate_gradient(1e-5).with_reorthogonalization(true).init().unwrap();
        let options = SolveOptions::new().with_preconditioner(&jacobi);
        let again = reorthogonalized.solve_with(&a, &rhs, options).unwrap();
        assert_eq!(again.report.stop, StopReason::Converged);
        assert!(again.report.iterations <= helped.report.iterations + 1);
    }
}
on_backends!(preconditioning: ndarray, flex, dispatch, wgpu);

/// Kept residuals span the space after n steps, and what is left of the next one is rounding: the solve starts afresh.
fn more_steps_than_dimensions<B: TestBackend>() {
    for seed in 0..20 {
        let (n, precision) = (12, Precision::F32);
        let rows = with_spectrum(&logarithmic(1.0, 3e3, n), seed);
        let rhs = flat::<B>(&SplitMix64::new(seed + 60).normals(n), precision);
        let descent = conjugate_gradient(2e-4)
            .with_residual_replacement(Some(3))
            .with_reorthogonalization(true);
        let smallest = minimum_residual(2e-4).with_reorthogonalization(true);
        let solvers: [Box<dyn LinearSolver<B>>; 2] =
            [Box::new(descent.init().unwrap()), Box::new(smallest.init().unwrap())];
        for solver in solvers {
            let solution = solver.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
            assert_eq!(solution.report.stop, StopReason::Converged, "{seed}: {}", solution.report);
            let spectrum = solution.report.spectrum.unwrap();
            assert!(spectrum.largest < 3.1e3, "{seed}: {spectrum:?}");
        }
    }
}
on_backends!(more_steps_than_dimensions: ndarray, flex, dispatch, wgpu);

/// Ritz values of a full run are eigenvalues; those of a short one lie within.
fn ritz_estimates<B: TestBackend>() {
    for seed in 0..5 {
        let n = 20;
        let rows = with_spectrum(&logarithmic(0.1, 200.0, n), seed);
        let rhs = flat::<B>(&SplitMix64::new(seed + 30).normals(n), Precision::F64);
        let a = operator(&rows, rhs.space());
        let full = conjugate_gradient(1e-12).init().unwrap().solve(&a, &rhs).unwrap();
        let spectrum = full.report.spectrum.unwrap();
        assert_eq!(full.report.stop, StopReason::Converged);
        assert!((spectrum.smallest / 0.1 - 1.0).abs() < 1e-6, "{spectrum:?}");
        assert!((spectrum.largest / 200.0 - 1.0).abs() < 1e-10, "{spectrum:?}");
        assert!((spectrum.condition.unwrap() / 2000.0 - 1.0).abs() < 1e-6);
        assert!(!spectrum.exact);
        let short = conjugate_gradient(1e-12).with_max_iterations(Some(5)).init().unwrap();
        let inner = short.solve(&a, &rhs).unwrap().report.spectrum.unwrap();
        assert!(
            inner.smallest >= 0.1
                && inner.largest <= 200.0 + 1e-9
                && inner.smallest < inner.largest
        );
    }
    // An indefinite run carried through finds both ends.
    let rhs = flat::<B>(&SplitMix64::new(1).normals(10), Precision::F64);
    let solver = conjugate_gradient(1e-12)
        .with_on_negative_curvature(OnNegativeCurvature::Continue)
        .with_reorthogonalization(true)
        .init()
        .unwrap();
    let solution = solver.solve(&operator(&diagonal_rows(&INDEFINITE), rhs.space()), &rhs).unwrap();
    let spectrum = solution.report.spectrum.unwrap();
    assert!(
        (spectrum.smallest + 8.0).abs() < 1e-8 && (spectrum.largest - 10.0).abs() < 1e-8,
        "{spectrum:?}"
    );
}
on_backends!(ritz_estimates: ndarray, flex, dispatch);

/// Loss, damping and gradient times c: the same x.
fn scale_invariance<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&logarithmic(0.2, 20.0, 15), 8);
        let rhs = flat::<B>(&SplitMix64::new(9).normals(15), precision);
        let solver = conjugate_gradient(1e-5).init().unwrap();
        let base = operator(&rows, rhs.space()).damped(0.1).unwrap();
        let plain = solver.solve(&base, &rhs).unwrap();
        for c in [1e-3, 1024.0] {
            let scaled = operator(&rows, rhs.space()).scaled(c).unwrap().damped(0.1 * c).unwrap();
            let solution = solver.solve(&scaled, &rhs.clone().scale(c)).unwrap();
            assert_eq!(solution.report.stop, plain.report.stop);
            assert_close(&x_of(&solution), &x_of(&plain), 1e-4);
        }
    }
}
on_backends!(scale_invariance: ndarray, flex, dispatch);
