//! Every reason to stop short, and what the report says of it.

use burn_curvature::{
    ConjugateGradientConfig, LinearOperator, LinearSolver, ParamVector, Precision, StopReason,
    operator::{Diagonal, FromFn},
};

use super::{check_report, conjugate_gradient, diagonal_rows, operator, residual, x_of};
use crate::{
    TestBackend, assert_close,
    dense::multiply,
    flat,
    oracle::{logarithmic, solve, with_spectrum},
    random::SplitMix64,
    relative_error,
};

/// κ ≈ 10⁶ in f32: the residual looks converged, the solution is not, and the report says so.
fn small_residual_large_error<B: TestBackend>() {
    let mut calls = 0;
    for seed in 0..5 {
        let n = 30;
        let rows = with_spectrum(&logarithmic(1e-6, 1.0, n), seed);
        // Mostly in the directions of large eigenvalues, as a gradient is.
        let b = multiply(&rows, &SplitMix64::new(seed + 1).normals(n));
        let rhs = flat::<B>(&b, Precision::F32);
        let solver = conjugate_gradient(1e-4).init().unwrap();
        let solution = solver.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
        let error = relative_error(&x_of(&solution), &solve(&rows, &b));
        assert!(error > 0.05, "the example is meant to be bad: {error}");
        assert!(solution.report.residual_misleads(), "{}", solution.report);
        assert!(solution.report.error_estimate().unwrap() > 0.1 * error);
        assert!(solution.report.advice().contains("solve in f64"));
        calls += 1;
    }
    assert_eq!(calls, 5);
    // And says nothing of the kind where the residual can be trusted.
    let rows = with_spectrum(&logarithmic(1.0, 10.0, 30), 1);
    let rhs = flat::<B>(&SplitMix64::new(2).normals(30), Precision::F32);
    let solution = conjugate_gradient(1e-5)
        .init()
        .unwrap()
        .solve(&operator(&rows, rhs.space()), &rhs)
        .unwrap();
    assert!(!solution.report.residual_misleads(), "{}", solution.report);
}
on_backends!(small_residual_large_error: ndarray, flex, dispatch, wgpu);

/// A tolerance that f32 cannot reach: the recurrence claims it, the true residual does not.
fn stagnation<B: TestBackend>() {
    let rows = with_spectrum(&logarithmic(1e-4, 1.0, 30), 2);
    let b = SplitMix64::new(3).normals(30);
    let rhs = flat::<B>(&b, Precision::F32);
    let solver = conjugate_gradient(1e-12).init().unwrap();
    let solution = solver.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
    assert_eq!(solution.report.stop, StopReason::Stagnation, "{}", solution.report);
    assert!(solution.report.true_residual > solution.report.threshold.unwrap());
    check_report(&solution.report, &rows, &x_of(&solution), &b);
    assert!(solution.report.advice().contains("f64"));
}
on_backends!(stagnation: ndarray, flex, dispatch);

/// The curvature vanishes: a zero operator, and a singular one with b partly in its null space.
fn breakdown<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let solver = ConjugateGradientConfig::new().init().unwrap();
        let b = flat::<B>(&[1.0, 2.0, 3.0], precision);
        let zero = solver.solve(&Diagonal::new(b.space().zeros()).unwrap(), &b).unwrap();
        assert_eq!(zero.report.stop, StopReason::Breakdown);
        assert_eq!((x_of(&zero), zero.report.iterations), (vec![0.0; 3], 0));
        assert!((zero.report.true_residual - 14f64.sqrt()).abs() < 1e-5);
        let singular = Diagonal::new(b.space().vector(&[1.0, 2.0, 0.0]).unwrap()).unwrap();
        let solution = solver.solve(&singular, &b).unwrap();
        assert_eq!(solution.report.stop, StopReason::Breakdown, "{}", solution.report);
        check_report(
            &solution.report,
            &diagonal_rows(&[1.0, 2.0, 0.0]),
            &x_of(&solution),
            &[1.0, 2.0, 3.0],
        );
        // One step along the projection does not make its only Ritz value the whole spectrum.
        let projection = Diagonal::new(b.space().vector(&[1.0, 1.0, 0.0]).unwrap()).unwrap();
        let report = solver.solve(&projection, &b).unwrap().report;
        assert_eq!((report.stop, report.iterations), (StopReason::Breakdown, 1), "{report}");
        let spectrum = report.spectrum.unwrap();
        assert!(spectrum.smallest.abs() < 1e-6 && spectrum.condition.is_none(), "{report}");
        // With b in the range, a singular operator is no obstacle.
        let consistent = b.space().vector(&[1.0, 2.0, 0.0]).unwrap();
        let solution = solver.solve(&singular, &consistent).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        assert_close(&x_of(&solution)[..2], &[1.0, 1.0], 1e-5);
    }
}
on_backends!(breakdown: ndarray, flex, dispatch);

/// The limit is a stop reason, with the values of the last iterate.
fn iteration_limit<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&logarithmic(1.0, 1e3, 25), 4);
        let b = SplitMix64::new(5).normals(25);
        let rhs = flat::<B>(&b, precision);
        let counted = operator(&rows, rhs.space()).counted();
        let solver = conjugate_gradient(1e-6).with_max_iterations(Some(4)).init().unwrap();
        let solution = solver.solve(&counted, &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::IterationLimit);
        assert_eq!((solution.report.iterations, counted.applications()), (4, 5));
        assert!(solution.report.relative_residual > 1e-6);
        let enough = conjugate_gradient(1e-4).with_max_iterations(Some(200)).init().unwrap();
        assert_eq!(enough.solve(&counted, &rhs).unwrap().report.stop, StopReason::Converged);
        check_report(&solution.report, &rows, &x_of(&solution), &b);
    }
}
on_backends!(iteration_limit: ndarray, flex, dispatch, wgpu);

/// Martens' rule stops early, and never by default.
fn relative_progress<B: TestBackend>() {
    let rows = with_spectrum(&logarithmic(1e-3, 1.0, 200), 6);
    let rhs = flat::<B>(&SplitMix64::new(7).normals(200), Precision::F64);
    let a = operator(&rows, rhs.space());
    let full = conjugate_gradient(1e-10).init().unwrap().solve(&a, &rhs).unwrap();
    let truncated = conjugate_gradient(1e-10).with_relative_progress(Some(5e-4)).init().unwrap();
    let truncated = truncated.solve(&a, &rhs).unwrap();
    assert_eq!(full.report.stop, StopReason::Converged);
    assert_eq!(truncated.report.stop, StopReason::RelativeProgress);
    assert!(
        truncated.report.iterations > 10 && truncated.report.iterations < full.report.iterations
    );
}
on_backends!(relative_progress: ndarray, flex, dispatch);

/// The residual is recomputed every k iterations, and nothing else changes.
fn residual_replacement<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&logarithmic(1.0, 200.0, 40), 3);
        let b = SplitMix64::new(8).normals(40);
        let rhs = flat::<B>(&b, precision);
        let a = operator(&rows, rhs.space()).counted();
        let solver = conjugate_gradient(1e-5).with_residual_replacement(Some(3));
        let solution = solver.init().unwrap().solve(&a, &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
        let iterations = solution.report.iterations;
        assert!(iterations > 10);
        let expected = iterations + (iterations - 1) / 3 + 1;
        assert_eq!((solution.report.applications, a.applications()), (expected, expected));
        assert_close(&x_of(&solution), &solve(&rows, &b), 1e-3);
        check_report(&solution.report, &rows, &x_of(&solution), &b);
    }
}
on_backends!(residual_replacement: ndarray, flex, dispatch);

/// A product with noise in it: the residual stops falling, and the window notices.
fn stagnation_window<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let rows = with_spectrum(&logarithmic(1.0, 20.0, 30), 5);
    let rhs = flat::<B>(&SplitMix64::new(6).normals(30), precision);
    let (exact, calls) = (operator(&rows, rhs.space()), std::cell::Cell::new(0));
    let noisy = FromFn::new(rhs.space(), |v: &ParamVector<B>| {
        calls.set(calls.get() + 1);
        let noise = v.space().normal(calls.get()).scale(1e-3 * v.norm()?);
        Ok(exact.apply(v)?.add(&noise)?)
    })
    .unwrap();
    let noisy = noisy.assume_self_adjoint().unwrap();
    let config = conjugate_gradient(1e-9).with_max_iterations(Some(500));
    let run = |window| {
        let solver = config.clone().with_stagnation_window(window).init().unwrap();
        solver.solve(&noisy, &rhs).unwrap().report
    };
    let (short, long) = (run(Some(5)), run(Some(60)));
    assert_eq!((short.stop, long.stop), (StopReason::Stagnation, StopReason::Stagnation));
    assert!(short.iterations + 40 < long.iterations, "{} {}", short.iterations, long.iterations);
    assert_eq!(run(None).stop, StopReason::IterationLimit);
}
on_backends!(stagnation_window: ndarray, flex, dispatch);

/// The recurrence drifts away from the residual by rounding; the report has both, and they differ.
fn residual_drift<B: TestBackend>() {
    for seed in 0..5 {
        let rows = with_spectrum(&logarithmic(1e-3, 1.0, 30), seed);
        let b = SplitMix64::new(seed + 3).normals(30);
        let rhs = flat::<B>(&b, Precision::F32);
        let solver = conjugate_gradient(2e-6).with_residual_replacement(None);
        let solution = solver.init().unwrap().solve(&operator(&rows, rhs.space()), &rhs).unwrap();
        let report = &solution.report;
        assert_eq!(report.stop, StopReason::Stagnation, "{report}");
        let truth = residual(&rows, &x_of(&solution), &b);
        assert!(report.recursive_residual.unwrap() <= report.threshold.unwrap());
        assert!(report.true_residual > report.threshold.unwrap());
        assert!((report.true_residual / truth - 1.0).abs() < 0.9, "{report}\n{truth:e}");
    }
}
on_backends!(residual_drift: ndarray, flex, dispatch);
