//! Conjugate gradients on indefinite systems: stopping, and carrying through.

use burn_curvature::{
    ConjugateGradientConfig, LinearOperator, LinearSolver, Precision, SolveOptions, StopReason,
    operator::Diagonal,
    solver::{Iteration, OnNegativeCurvature},
};

use super::{INDEFINITE, check_report, conjugate_gradient, diagonal_rows, operator, x_of};
use crate::{
    TestBackend, assert_close,
    dense::{dot, multiply},
    flat,
    oracle::{logarithmic, small_network, solve, with_spectrum},
    random::SplitMix64,
    relative_error,
};

fn negative_curvature_stops<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            let diagonal = flat::<B>(&INDEFINITE, precision);
            let b = SplitMix64::new(seed).normals(10);
            let rhs = diagonal.space().vector(&b).unwrap();
            let mut last = vec![0.0; 10];
            let mut observer = |iteration: &Iteration<'_, B>| last = iteration.x.to_vec().unwrap();
            let options = SolveOptions::new().with_observer(&mut observer);
            let solver = ConjugateGradientConfig::new().init().unwrap();
            let solution =
                solver.solve_with(&Diagonal::new(diagonal).unwrap(), &rhs, options).unwrap();
            assert_eq!(solution.report.stop, StopReason::NegativeCurvature);
            assert_eq!(x_of(&solution), last, "the iterate before the step");
            let found = solution.negative_curvature.clone().unwrap();
            let p = found.direction.to_vec().unwrap();
            let curvature =
                p.iter().zip(INDEFINITE).map(|(p, a)| a * p * p).sum::<f64>() / dot(&p, &p);
            assert!(curvature <= 0.0, "{curvature}");
            assert!((curvature - found.curvature).abs() < 1e-4, "{curvature} {}", found.curvature);
            let rows = diagonal_rows(&INDEFINITE);
            check_report(&solution.report, &rows, &x_of(&solution), &b);
            let report = &solution.report;
            assert_eq!(report.negative_curvature, Some(found.curvature));
            assert!(report.advice().contains("damping"));
            assert!(report.advice().contains(&format!("{:.3e} or less", found.curvature)));
            assert!(report.to_string().contains("negative curvature"), "{report}");
            // Ritz values say nothing about the smallest |λ| of an indefinite A.
            assert!(!report.to_string().contains("condition number"), "{report}");
            assert_eq!(report.spectrum.and_then(|spectrum| spectrum.condition), None);
            assert!(report.spectrum.is_none_or(|spectrum| spectrum.smallest < 0.0), "{report}");
        }
    }
}
on_backends!(negative_curvature_stops: ndarray, flex, dispatch, wgpu);

/// Carried through with reorthogonalization, the recurrences solve indefinite systems in n steps.
fn carried_through<B: TestBackend>() {
    let solver = |n: usize, reorthogonalization: bool| {
        conjugate_gradient(1e-15)
            .with_max_iterations(Some(n))
            .with_residual_replacement(None)
            .with_reorthogonalization(reorthogonalization)
            .with_on_negative_curvature(OnNegativeCurvature::Continue)
            .init()
            .unwrap()
    };
    let rhs = flat::<B>(&[1.0; 10], Precision::F64);
    let solution =
        solver(10, true).solve(&operator(&diagonal_rows(&INDEFINITE), rhs.space()), &rhs).unwrap();
    let expected: Vec<f64> = INDEFINITE.iter().map(|a| 1.0 / a).collect();
    assert_close(&x_of(&solution), &expected, 1e-12);
    assert!(solution.negative_curvature.unwrap().curvature < 0.0);

    // 26 unknowns, 12 negative eigenvalues, κ = 4·10⁴, as the Hessian of a small network has them.
    let mut spectrum: Vec<f64> = logarithmic(1.2e-4, 0.7, 12).iter().map(|x| -x).collect();
    spectrum.extend(logarithmic(1.3e-4, 4.8, 14));
    let (mut errors, mut plain) = (Vec::new(), Vec::new());
    for seed in 0..20 {
        let rows = with_spectrum(&spectrum, seed);
        let exact = SplitMix64::new(seed + 7).normals(26);
        let b = multiply(&rows, &exact);
        let rhs = flat::<B>(&b, Precision::F64);
        let solution = solver(26, true).solve(&operator(&rows, rhs.space()), &rhs).unwrap();
        assert!(solution.report.iterations <= 26);
        errors.push(relative_error(&x_of(&solution), &exact));
        check_report(&solution.report, &rows, &x_of(&solution), &b);
        let single = flat::<B>(&b, Precision::F32);
        let solution = solver(40, false).solve(&operator(&rows, single.space()), &single).unwrap();
        plain.push(relative_error(&x_of(&solution), &exact));
    }
    errors.sort_by(f64::total_cmp);
    plain.sort_by(f64::total_cmp);
    assert!(errors[19] <= 1e-10, "{errors:?}");
    assert!(plain[10] > 1e-2, "what reorthogonalization is for: {plain:?}");
}
on_backends!(carried_through: ndarray, flex, dispatch);

/// The Hessian of a small network is indefinite: plain conjugate gradients stop and say so; carried through with
/// reorthogonalization they solve the system in 26 steps.
fn small_networks<B: TestBackend>() {
    let carried = conjugate_gradient(1e-15)
        .with_max_iterations(Some(26))
        .with_reorthogonalization(true)
        .with_on_negative_curvature(OnNegativeCurvature::Continue)
        .init()
        .unwrap();
    let plain = conjugate_gradient(1e-12).init().unwrap();
    let damped = conjugate_gradient(1e-12).init().unwrap();
    let mut single = Vec::new();
    for seed in 0..100 {
        let (hessian, gradient) = small_network(seed);
        let exact = solve(&hessian, &gradient);
        let rhs = flat::<B>(&gradient, Precision::F64);
        let a = operator(&hessian, rhs.space());
        assert_eq!(plain.solve(&a, &rhs).unwrap().report.stop, StopReason::NegativeCurvature);
        let solution = carried.solve(&a, &rhs).unwrap();
        let stop = solution.report.stop;
        assert!(
            matches!(stop, StopReason::Converged | StopReason::IterationLimit),
            "{}",
            solution.report
        );
        assert!(solution.report.iterations <= 26);
        let error = relative_error(&x_of(&solution), &exact);
        assert!(error <= 1e-10, "seed {seed}: {error:e}");
        let solution = damped.solve(&(&a).damped(1.0).unwrap(), &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        let rhs = flat::<B>(&gradient, Precision::F32);
        let solution = carried.solve(&operator(&hessian, rhs.space()), &rhs).unwrap();
        single.push(relative_error(&x_of(&solution), &exact));
    }
    single.sort_by(f64::total_cmp);
    assert!(single[50] <= 1e-4, "{:e}", single[50]);
}
on_backends!(small_networks: ndarray, flex, dispatch);
