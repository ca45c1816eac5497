//! MINRES on systems that are not singular: against a dense solve, the theory, and itself.

use burn_curvature::{
    LinearOperator, LinearSolver, MinresConfig, Precision, SolveOptions, StopReason,
    operator::Diagonal, solver::Iteration,
};

use super::{
    INDEFINITE, check_report, conjugate_gradient, diagonal_rows, minimum_residual, operator,
    residual, tight, x_of,
};
use crate::{
    TestBackend, assert_close,
    dense::{dot, multiply},
    flat,
    oracle::{logarithmic, small_network, solve, with_spectrum},
    random::SplitMix64,
    relative_error,
};

/// `values` with every third sign turned.
pub(super) fn mixed(values: &[f64]) -> Vec<f64> {
    let signs = values.iter().enumerate();
    signs.map(|(i, x)| if i % 3 == 1 { -x } else { *x }).collect()
}

/// Random definite and indefinite systems against Gaussian elimination, with the values passed to the observer.
fn minres_systems<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..4 {
            for (spectrum, reorthogonalization) in [
                (logarithmic(0.5, 50.0, 30), false),
                (mixed(&logarithmic(0.5, 20.0, 30)), false),
                (mixed(&logarithmic(0.5, 20.0, 30)), true),
            ] {
                let rows = with_spectrum(&spectrum, seed);
                let b = SplitMix64::new(seed + 50).normals(30);
                let rhs = flat::<B>(&b, precision);
                let allowed = 2e3 * precision.epsilon() * dot(&b, &b).sqrt();
                let mut last = dot(&b, &b).sqrt();
                let mut observer = |iteration: &Iteration<'_, B>| {
                    let x = iteration.x.to_vec().unwrap();
                    let phi = 0.5 * dot(&x, &multiply(&rows, &x)) - dot(&b, &x);
                    assert!((iteration.residual - residual(&rows, &x, &b)).abs() <= allowed);
                    assert!(
                        (iteration.objective - phi).abs() <= 10.0 * allowed * dot(&x, &x).sqrt()
                    );
                    assert!(iteration.residual <= last, "the residual never rises");
                    assert!(iteration.curvature.abs() <= 50.0 * (1.0 + 1e-5));
                    last = iteration.residual;
                };
                let config = minimum_residual(tight(precision))
                    .with_reorthogonalization(reorthogonalization);
                let options = SolveOptions::new().with_observer(&mut observer);
                let solution = config
                    .init()
                    .unwrap()
                    .solve_with(&operator(&rows, rhs.space()), &rhs, options)
                    .unwrap();
                let report = &solution.report;
                assert_eq!(report.stop, StopReason::Converged, "{report}");
                assert_close(&x_of(&solution), &solve(&rows, &b), 200.0 * tight(precision));
                check_report(report, &rows, &x_of(&solution), &b);
                let indefinite = spectrum.iter().any(|value| *value < 0.0);
                assert_eq!(solution.negative_curvature.is_some(), indefinite);
                let found = report.spectrum.unwrap();
                assert_eq!(found.smallest < 0.0, indefinite);
                let condition = found.condition.unwrap();
                let truth = if indefinite { 40.0 } else { 100.0 };
                assert!(
                    condition <= truth * 1.001 && condition > 0.8 * truth,
                    "κ = {truth}: {condition}"
                );
                if let Some(negative) = &solution.negative_curvature {
                    let p = negative.direction.to_vec().unwrap();
                    let curvature = dot(&p, &multiply(&rows, &p)) / dot(&p, &p);
                    assert!((curvature - negative.curvature).abs() < 1e-3 && curvature < 0.0);
                }
            }
        }
    }
}
on_backends!(minres_systems: ndarray, flex, dispatch);

/// What conjugate gradients refuse, MINRES solves.
fn minres_indefinite_diagonal<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            let a = Diagonal::new(flat::<B>(&INDEFINITE, precision)).unwrap().counted();
            let b = SplitMix64::new(seed).normals(10);
            let rhs = flat::<B>(&b, precision);
            let refused = conjugate_gradient(1e-5).init().unwrap();
            let refused = refused.solve(&a, &rhs).unwrap();
            assert_eq!(refused.report.stop, StopReason::NegativeCurvature);
            assert!(refused.report.advice().contains("Minres"));
            let before = a.applications();
            let solver = minimum_residual(tight(precision)).init().unwrap();
            let solution = solver.solve(&a, &rhs).unwrap();
            let report = &solution.report;
            assert_eq!(report.stop, StopReason::Converged, "{report}");
            assert!(report.iterations <= 12, "{report}");
            assert_eq!(report.applications, a.applications() - before);
            assert_eq!(report.applications, report.iterations + 1);
            let exact: Vec<f64> = b.iter().zip(INDEFINITE).map(|(b, a)| b / a).collect();
            assert_close(&x_of(&solution), &exact, 20.0 * tight(precision));
            check_report(report, &diagonal_rows(&INDEFINITE), &x_of(&solution), &b);
            let spectrum = report.spectrum.unwrap();
            assert!((spectrum.smallest + 8.0).abs() < 1e-2, "{spectrum:?}");
            assert!((spectrum.largest - 10.0).abs() < 1e-2, "{spectrum:?}");
            assert!((spectrum.condition.unwrap() - 10.0).abs() < 0.5, "{spectrum:?}");
        }
    }
}
on_backends!(minres_indefinite_diagonal: ndarray, flex, dispatch);

/// The Hessian of a small network, indefinite with κ up to 10⁶: to 1e-10 in 26 steps, each of 100 seeds.
fn minres_small_networks<B: TestBackend>() {
    let config = minimum_residual(1e-15).with_max_iterations(Some(26));
    let full = config.clone().with_reorthogonalization(true);
    let (full, short) = (full.init().unwrap(), config.init().unwrap());
    let (mut single, mut plain) = (Vec::new(), Vec::new());
    for seed in 0..100 {
        let (hessian, gradient) = small_network(seed);
        let exact = solve(&hessian, &gradient);
        let rhs = flat::<B>(&gradient, Precision::F64);
        let a = operator(&hessian, rhs.space());
        let solution = full.solve(&a, &rhs).unwrap();
        let stop = solution.report.stop;
        assert!(
            matches!(
                stop,
                StopReason::Converged | StopReason::IterationLimit | StopReason::Stagnation
            ),
            "{}",
            solution.report
        );
        assert!(solution.report.iterations <= 26);
        let error = relative_error(&x_of(&solution), &exact);
        assert!(error <= 1e-10, "seed {seed}: {error:e}\n{}", solution.report);
        plain.push(relative_error(&x_of(&short.solve(&a, &rhs).unwrap()), &exact));
        let rhs = flat::<B>(&gradient, Precision::F32);
        let solution = full.solve(&operator(&hessian, rhs.space()), &rhs).unwrap();
        single.push(relative_error(&x_of(&solution), &exact));
    }
    single.sort_by(f64::total_cmp);
    plain.sort_by(f64::total_cmp);
    // κ goes up to 10⁶, which is beyond f32 for some seeds.
    assert!(single[50] <= 1e-5 && single[85] <= 1e-4, "{single:?}");
    assert!(plain[50] > 1e-8, "what reorthogonalization is for: {:e}", plain[50]);
}
on_backends!(minres_small_networks: ndarray, flex, dispatch);

/// ‖rₖ‖ falls at least as fast as 2((√κ − 1)/(√κ + 1))ᵏ for a definite A, and as 2((κ − 1)/(κ + 1))^⌊k/2⌋ for one with
/// eigenvalues in ±[1, κ].
fn minres_bounds<B: TestBackend>() {
    for seed in 0..5 {
        let (n, condition) = (40, 60.0f64);
        let definite = logarithmic(1.0, condition, n);
        let both: Vec<f64> = definite[..n / 2]
            .iter()
            .flat_map(|_| [1.0, -1.0])
            .zip(&logarithmic(1.0, condition, n))
            .map(|(sign, value)| sign * value)
            .collect();
        for (spectrum, indefinite) in [(definite, false), (both, true)] {
            let rows = with_spectrum(&spectrum, seed);
            let b = SplitMix64::new(seed).normals(n);
            let start = dot(&b, &b).sqrt();
            let mut residuals = Vec::new();
            let mut observer = |iteration: &Iteration<'_, B>| residuals.push(iteration.residual);
            let rhs = flat::<B>(&b, Precision::F64);
            let solver = minimum_residual(1e-8).init().unwrap();
            let options = SolveOptions::new().with_observer(&mut observer);
            let solution = solver.solve_with(&operator(&rows, rhs.space()), &rhs, options).unwrap();
            assert_eq!(solution.report.stop, StopReason::Converged);
            assert!(residuals.len() > 10);
            let root = if indefinite { condition } else { condition.sqrt() };
            let fall = ((root + 1.0) / (root - 1.0)).ln();
            let count = (2.0 / 1e-8f64).ln() / fall * if indefinite { 2.0 } else { 1.0 };
            assert!(residuals.len() as f64 <= count.ceil(), "the textbook count {count}");
            for (k, residual) in (1..).zip(&residuals) {
                let root = if indefinite { condition } else { condition.sqrt() };
                let rate = (root - 1.0) / (root + 1.0);
                let power = if indefinite { k / 2 } else { k };
                let bound = 2.0 * rate.powi(power) * start;
                assert!(*residual <= bound * (1.0 + 1e-9), "step {k}: {residual} > {bound}");
            }
        }
    }
}
on_backends!(minres_bounds: ndarray, flex, dispatch);

/// A definite preconditioner for an indefinite system: fewer iterations, and ‖r‖ is still the plain norm.
fn minres_preconditioned<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let n = 24;
        let scales = logarithmic(1.0, 1e3, n);
        let mut rows = with_spectrum(&mixed(&logarithmic(1.0, 5.0, n)), 9);
        for i in 0..n {
            for j in 0..n {
                rows[i][j] *= (scales[i] * scales[j]).sqrt();
            }
        }
        let b = SplitMix64::new(10).normals(n);
        let rhs = flat::<B>(&b, precision);
        let inverse: Vec<f64> = scales.iter().map(|scale| 1.0 / scale).collect();
        let inverse = Diagonal::new(rhs.space().vector(&inverse).unwrap()).unwrap();
        let a = operator(&rows, rhs.space());
        let config = minimum_residual(1e-5);
        let plain = config.init().unwrap().solve(&a, &rhs).unwrap();
        for reorthogonalization in [false, true] {
            let mut observer = |iteration: &Iteration<'_, B>| {
                let x = iteration.x.to_vec().unwrap();
                let phi = 0.5 * dot(&x, &multiply(&rows, &x)) - dot(&b, &x);
                let allowed = 1e5 * precision.epsilon();
                assert!((iteration.residual - residual(&rows, &x, &b)).abs() <= allowed);
                assert!((iteration.objective - phi).abs() <= allowed);
            };
            let config = config.clone().with_reorthogonalization(reorthogonalization);
            let options =
                SolveOptions::new().with_preconditioner(&inverse).with_observer(&mut observer);
            let helped = config.init().unwrap().solve_with(&a, &rhs, options).unwrap();
            assert_eq!(helped.report.stop, StopReason::Converged, "{}", helped.report);
            assert!(3 * helped.report.iterations < 2 * plain.report.iterations);
            check_report(&helped.report, &rows, &x_of(&helped), &b);
            assert_close(&x_of(&helped), &solve(&rows, &b), 2e-2);
            let condition = helped.report.spectrum.unwrap().condition.unwrap();
            assert!((2.0..5.01).contains(&condition), "of M⁻¹A: {condition}");
        }
    }
}
on_backends!(minres_preconditioned: ndarray, flex, dispatch);

/// b = 0, an exact guess, a close one, one unknown.
fn minres_degenerate<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let diagonal = flat::<B>(&[1.0, -2.0, 4.0], precision);
        let a = Diagonal::new(diagonal.clone()).unwrap().counted();
        let solver = MinresConfig::new().init().unwrap();
        let zero = solver.solve(&a, &diagonal.space().zeros()).unwrap();
        assert_eq!(zero.report.stop, StopReason::Converged);
        assert_eq!((x_of(&zero), a.applications()), (vec![0.0; 3], 0));
        assert_eq!((zero.report.relative_residual, zero.report.iterations), (0.0, 0));
        let options = SolveOptions::new().with_initial_guess(diagonal.space().ones());
        let exact = solver.solve_with(&a, &diagonal, options).unwrap();
        assert_eq!(exact.report.stop, StopReason::Converged);
        assert_eq!((exact.report.iterations, exact.report.applications), (0, 1));
        let close = diagonal.space().vector(&[1.0, 1.0, 1.01]).unwrap();
        let options = SolveOptions::new().with_initial_guess(close);
        let warm = solver.solve_with(&a, &diagonal, options).unwrap();
        assert_eq!((warm.report.stop, warm.report.iterations), (StopReason::Converged, 1));
        assert_close(&x_of(&warm), &[1.0; 3], 1e-5);
        for value in [4.0, -4.0] {
            let one = flat::<B>(&[value], precision);
            let solution =
                solver.solve(&Diagonal::new(one.clone()).unwrap(), &one.space().full(2.0)).unwrap();
            assert_eq!(
                (solution.report.stop, solution.report.iterations),
                (StopReason::Converged, 1)
            );
            assert_close(&x_of(&solution), &[2.0 / value], 1e-7);
            assert_eq!(solution.report.spectrum.unwrap().condition, Some(1.0));
        }
    }
}
on_backends!(minres_degenerate: ndarray, flex, dispatch);

/// Loss, damping and gradient times c: the same x; and operators whose squares leave the range of f32.
fn minres_scales<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&mixed(&logarithmic(0.2, 10.0, 15)), 8);
        let rhs = flat::<B>(&SplitMix64::new(9).normals(15), precision);
        let solver = minimum_residual(1e-5).init().unwrap();
        let plain =
            solver.solve(&operator(&rows, rhs.space()).damped(0.01).unwrap(), &rhs).unwrap();
        assert_eq!(plain.report.stop, StopReason::Converged);
        for c in [1e-3, 1024.0] {
            let scaled = operator(&rows, rhs.space()).scaled(c).unwrap().damped(0.01 * c).unwrap();
            let solution = solver.solve(&scaled, &rhs.clone().scale(c)).unwrap();
            assert_eq!(solution.report.stop, plain.report.stop);
            assert_close(&x_of(&solution), &x_of(&plain), 1e-3);
        }
        for c in [1e-22, 1e20] {
            let extreme = operator(&rows, rhs.space()).scaled(c).unwrap().damped(0.01 * c).unwrap();
            let solution = solver.solve(&extreme, &rhs).unwrap();
            assert_eq!(solution.report.stop, plain.report.stop, "{}", solution.report);
            let x: Vec<f64> = x_of(&solution).iter().map(|x| x * c).collect();
            assert_close(&x, &x_of(&plain), 1e-3);
        }
    }
}
on_backends!(minres_scales: ndarray, flex, dispatch);
