//! MINRES stopping short, and what it refuses.

use crate::failure::failure;
use burn_curvature::{
    Error, LinearOperator, LinearSolver, MinresConfig, ParamVector, Precision, SolveOptions,
    StopReason,
    errors::{SolverError, VectorError},
    operator::{Diagonal, FromFn, Identity},
};

use super::{check_report, minimum_residual, minres::mixed, operator, x_of};
use crate::{
    TestBackend,
    dense::multiply,
    flat,
    oracle::{logarithmic, solve, with_spectrum},
    random::SplitMix64,
    relative_error,
};

/// The limit, a tolerance out of reach, and a window.
fn minres_stops<B: TestBackend>() {
    let rows = with_spectrum(&mixed(&logarithmic(1e-3, 1.0, 30)), 2);
    let b = SplitMix64::new(3).normals(30);
    let rhs = flat::<B>(&b, Precision::F32);
    let a = operator(&rows, rhs.space()).counted();
    let solver = minimum_residual(1e-12).with_max_iterations(Some(5000)).init().unwrap();
    let solution = solver.solve(&a, &rhs).unwrap();
    assert_eq!(solution.report.stop, StopReason::Stagnation, "{}", solution.report);
    assert!(solution.report.true_residual > solution.report.threshold.unwrap());
    check_report(&solution.report, &rows, &x_of(&solution), &b);
    for &precision in B::PRECISIONS {
        let rhs = flat::<B>(&b, precision);
        let a = operator(&rows, rhs.space()).counted();
        let limited = minimum_residual(1e-5).with_max_iterations(Some(4)).init().unwrap();
        let solution = limited.solve(&a, &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::IterationLimit);
        assert_eq!((solution.report.iterations, a.applications()), (4, 5));
        check_report(&solution.report, &rows, &x_of(&solution), &b);
    }
    // Eigenvalues in pairs ±λ and equal weights: every other step gets nowhere.
    let pairs = flat::<B>(&[1.0, -1.0, 2.0, -2.0, 3.0, -3.0], Precision::F64);
    let solver = minimum_residual(1e-10).init().unwrap();
    let solved = solver.solve(&Diagonal::new(pairs.clone()).unwrap(), &pairs.space().ones());
    let report = solved.unwrap().report;
    assert_eq!((report.stop, report.iterations), (StopReason::Converged, 6));
}
on_backends!(minres_stops: ndarray, flex, dispatch);

/// A product with noise in it: the residual stops falling, and the window notices.
fn minres_stagnation_window<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let rows = with_spectrum(&mixed(&logarithmic(1.0, 20.0, 30)), 5);
    let rhs = flat::<B>(&SplitMix64::new(6).normals(30), precision);
    let (exact, calls) = (operator(&rows, rhs.space()), std::cell::Cell::new(0));
    let noisy = FromFn::new(rhs.space(), |v: &ParamVector<B>| {
        calls.set(calls.get() + 1);
        let noise = v.space().normal(calls.get()).scale(0.1 * v.norm()?);
        Ok(exact.apply(v)?.add(&noise)?)
    })
    .unwrap();
    let noisy = noisy.assume_self_adjoint().unwrap();
    let config = minimum_residual(1e-12).with_max_iterations(Some(1000));
    let run = |window| {
        let solver = config.clone().with_stagnation_window(window);
        solver.init().unwrap().solve(&noisy, &rhs).unwrap().report
    };
    let (short, long) = (run(Some(2)), run(Some(40)));
    assert_eq!(short.stop, StopReason::Stagnation, "{short}");
    assert!(short.iterations < long.iterations);
    assert!(short.true_residual > short.threshold.unwrap());
}
on_backends!(minres_stagnation_window: ndarray, flex, dispatch);

/// κ ≈ 10⁶ in f32: the residual looks converged, the solution is not, and the report says so.
fn minres_small_residual_large_error<B: TestBackend>() {
    for seed in 0..5 {
        let rows = with_spectrum(&mixed(&logarithmic(1e-6, 1.0, 30)), seed);
        let b = multiply(&rows, &SplitMix64::new(seed + 1).normals(30));
        let rhs = flat::<B>(&b, Precision::F32);
        let solver = minimum_residual(1e-4).init().unwrap();
        let solution = solver.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
        let report = &solution.report;
        assert_eq!(report.stop, StopReason::Converged, "{report}");
        let error = relative_error(&x_of(&solution), &solve(&rows, &b));
        assert!(error > 0.05, "the example is meant to be bad: {error}");
        assert!(report.residual_misleads(), "{report}");
        assert!(report.error_estimate().unwrap() > 0.1 * error, "{error}\n{report}");
        assert!(report.advice().contains("solve in f64"));
    }
    let rows = with_spectrum(&mixed(&logarithmic(1.0, 10.0, 30)), 1);
    let rhs = flat::<B>(&SplitMix64::new(2).normals(30), Precision::F32);
    let solution = minimum_residual(1e-5).init().unwrap();
    let solution = solution.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
    assert!(!solution.report.residual_misleads(), "{}", solution.report);
}
on_backends!(minres_small_residual_large_error: ndarray, flex, dispatch);

/// NaN, layouts, preconditioners, configurations.
fn minres_bad_input<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let solver = MinresConfig::new().init().unwrap();
    let b = flat::<B>(&[1.0, 2.0], precision);
    let identity = Identity::<B>::new(b.space()).unwrap();
    let longer = flat::<B>(&[1.0; 3], precision);
    let wrong = solver.solve(&identity, &longer).unwrap_err();
    assert!(matches!(wrong.downcast_ref(), Some(VectorError::LayoutMismatch { .. })));
    let what = |result: Result<burn_curvature::Solution<B>, Error>| match failure(&result) {
        Some(VectorError::NonFinite { what, .. }) => what.clone(),
        _ => panic!("expected a non-finite vector, got {:?}", result.err()),
    };
    let bad = b.space().vector(&[1.0, f64::NAN]).unwrap();
    assert!(what(solver.solve(&identity, &bad)).contains("right-hand side"));
    let options = SolveOptions::new().with_initial_guess(bad.clone());
    assert!(what(solver.solve_with(&identity, &b, options)).contains("initial guess"));
    assert!(what(solver.solve(&Diagonal::new(bad.clone()).unwrap(), &b)).contains("product A v"));
    let inverse = Diagonal::new(bad).unwrap();
    let options = SolveOptions::new().with_preconditioner(&inverse);
    assert!(what(solver.solve_with(&identity, &b, options)).contains("preconditioner"));
    for (inverse, a) in [([-1.0, -1.0], [1.0, 1.0]), ([1.0, -0.1], [1.0, 3.0])] {
        let inverse = Diagonal::new(b.space().vector(&inverse).unwrap()).unwrap();
        let a = Diagonal::new(b.space().vector(&a).unwrap()).unwrap();
        let options = SolveOptions::new().with_preconditioner(&inverse);
        let refused = solver.solve_with(&a, &b.space().vector(&[2.0, 1.0]).unwrap(), options);
        let found = refused.map(|solution| solution.report.stop);
        assert!(
            matches!(failure(&found), Some(SolverError::Preconditioner { found }) if *found < 0.0),
            "{found:?}"
        );
    }
    let field = |config: MinresConfig| config.init().unwrap_err().field;
    let config = MinresConfig::new;
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(config().with_relative_tolerance(bad)), "relative_tolerance");
        let cut = config().with_singular_below(Some(bad));
        assert_eq!(field(cut), "singular_below");
    }
    assert_eq!(field(config().with_absolute_tolerance(-1.0)), "absolute_tolerance");
    assert_eq!(field(config().with_max_iterations(Some(0))), "max_iterations");
    assert_eq!(field(config().with_stagnation_window(Some(0))), "stagnation_window");
    let changed = config().with_reorthogonalization(true).with_max_iterations(Some(7));
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(serde_json::from_str::<MinresConfig>(&json).unwrap(), changed);
    assert_eq!(*changed.init().unwrap().config(), changed);
}
on_backends!(minres_bad_input: ndarray, flex, dispatch);
