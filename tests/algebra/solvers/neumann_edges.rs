//! The Neumann series on degenerate systems, at its limits, and what it refuses.

use crate::failure::failure;
use burn_curvature::{
    LinearOperator, LinearSolver, NeumannConfig, ParamVector, SolveOptions, SolveReport,
    StopReason,
    errors::{SolverError, VectorError},
    operator::{Diagonal, FromFn, Identity},
    solver::{Iteration, Neumann, NeumannScale},
};

use super::{
    neumann::{detail, neumann},
    operator, same, x_of,
};
use crate::{
    TestBackend, assert_close,
    dense::{Rows, dot, multiply},
    flat,
    oracle::{logarithmic, with_spectrum},
    random::SplitMix64,
};

/// A = Q diag(λ) Qᵀ, x and b = A x.
fn system() -> (Rows, Vec<f64>, Vec<f64>) {
    let rows = with_spectrum(&logarithmic(0.5, 2.0, 6), 2);
    let exact = SplitMix64::new(9).normals(6);
    let b = multiply(&rows, &exact);
    (rows, exact, b)
}

fn solver() -> Neumann {
    NeumannConfig::new().init().unwrap()
}

/// Degenerate systems, limits, and what is observed.
fn neumann_edges<B: TestBackend>() {
    let ((rows, exact, b), solver) = (system(), solver());
    for &precision in B::PRECISIONS {
        let rhs = flat::<B>(&b, precision);
        let a = operator(&rows, rhs.space());
        let zero = solver.solve(&a, &rhs.space().zeros()).unwrap();
        assert_eq!((zero.report.stop, x_of(&zero)), (StopReason::Converged, vec![0.0; 6]));
        let guess = rhs.space().vector(&exact).unwrap();
        let options = SolveOptions::new().with_initial_guess(guess);
        let known = solver.solve_with(&a, &rhs, options).unwrap().report;
        assert_eq!(
            (known.stop, known.iterations, known.applications),
            (StopReason::Converged, 0, 1)
        );
        let options = SolveOptions::new().with_initial_guess(rhs.space().normal(3));
        let mut seen: Vec<(usize, f64, f64, Vec<f64>)> = Vec::new();
        let mut observer = |at: &Iteration<'_, B>| {
            seen.push((at.index, at.residual, at.objective, at.x.to_vec().unwrap()));
        };
        let options = options.with_observer(&mut observer);
        let solution = solver.solve_with(&a, &rhs, options).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        assert_eq!(seen.len(), solution.report.iterations);
        for (position, (index, residual, objective, x)) in seen.iter().enumerate() {
            let value = 0.5 * dot(x, &multiply(&rows, x)) - dot(&b, x);
            assert_eq!(*index, position + 1);
            assert!((value - objective).abs() < 1e-4 * value.abs());
            assert!((super::residual(&rows, x, &b) - residual).abs() < 1e-4);
        }
        let one = flat::<B>(&[3.0], precision);
        let solution = solver.solve(&Diagonal::new(one.space().full(2.0)).unwrap(), &one).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
        assert_close(&x_of(&solution), &[1.5], 1e-5);
        let negative = solver.solve(&Diagonal::new(one.space().full(-2.0)).unwrap(), &one).unwrap();
        assert_eq!(negative.report.stop, StopReason::NegativeCurvature);

        let nothing = solver.solve(&Diagonal::new(rhs.space().zeros()).unwrap(), &rhs);
        assert!(matches!(failure(&nothing), Some(SolverError::NoScale { .. })), "{nothing:?}");
        let short = NeumannConfig::new().with_max_iterations(3).init().unwrap();
        let report = short.solve(&a, &rhs).unwrap().report;
        assert_eq!((report.stop, report.iterations), (StopReason::IterationLimit, 3));
    }
}
on_backends!(neumann_edges: ndarray, flex, dispatch);

/// Several right-hand sides share one estimate of the scale; a loss times c has the same x, with the scale divided by c.
fn neumann_many_and_scaled<B: TestBackend>() {
    let ((rows, _, b), solver) = (system(), solver());
    for &precision in B::PRECISIONS {
        let rhs = flat::<B>(&b, precision);
        let a = operator(&rows, rhs.space());
        let counted = (&a).counted();
        let all = [rhs.space().zeros(), rhs.clone(), rhs.clone().scale(2.0)];
        let many = solver.solve_many(&counted, &all).unwrap();
        let single = solver.solve(&a, &rhs).unwrap();
        assert_eq!(x_of(&many[1]), x_of(&single));
        assert_eq!(many[1].report, single.report);
        assert_eq!(many[2].report.applications, many[2].report.iterations);
        let counts: usize = many.iter().map(|many| many.report.applications).sum();
        assert_eq!(counted.applications(), counts);
        assert!(solver.solve_many(&a, &[]).unwrap().is_empty());
        let many = solver.solve_many(&(&a).scaled(-1.0).unwrap(), &all[1..]).unwrap();
        for solution in &many {
            assert_eq!(solution.report.stop, StopReason::NegativeCurvature);
            assert!(solution.negative_curvature.is_some());
            assert!(solution.report.spectrum.is_some_and(|found| found.condition.is_none()));
        }
        let times = (&a).scaled(50.0).unwrap();
        let scaled = solver.solve(&times, &rhs.clone().scale(50.0)).unwrap();
        let plain = solver.solve(&a, &rhs).unwrap();
        assert_eq!(scaled.report.iterations, plain.report.iterations);
        assert_close(&x_of(&scaled), &x_of(&plain), 1e-5);
        assert_close(&[50.0 * detail(&scaled.report).0], &[detail(&plain.report).0], 1e-4);
    }
}
on_backends!(neumann_many_and_scaled: ndarray, flex, dispatch);

/// Rounding is not taken for a negative eigenvalue, nor for divergence; more than the precision allows ends in stagnation.
fn neumann_rounding<B: TestBackend>() {
    let (rows, _, b) = system();
    for &precision in B::PRECISIONS {
        for seed in 0..3 {
            let rows = with_spectrum(&logarithmic(1e-5, 1.0, 20), seed);
            let b = flat::<B>(&SplitMix64::new(seed).normals(20), precision);
            let config = NeumannConfig::new().with_relative_tolerance(1e-14);
            for scale in [NeumannScale::InverseLargest, NeumannScale::Fixed(1.9)] {
                let solver = config.clone().with_scale(scale).with_max_iterations(2000);
                let solver = solver.init().unwrap();
                let report = solver.solve(&operator(&rows, b.space()), &b).unwrap().report;
                assert_eq!(report.stop, StopReason::IterationLimit, "{report}");
            }
        }
        let rhs = flat::<B>(&b, precision);
        let greedy = neumann(NeumannScale::InverseLargest, 1e-30);
        let report = greedy.solve(&operator(&rows, rhs.space()), &rhs).unwrap().report;
        assert_eq!(report.stop, StopReason::Stagnation, "{report}");
    }
}
on_backends!(neumann_rounding: ndarray, flex, dispatch);

/// What is refused.
fn neumann_refusals<B: TestBackend>() {
    let ((rows, _, b), solver) = (system(), solver());
    for &precision in B::PRECISIONS {
        let rhs = flat::<B>(&b, precision);
        let a = operator(&rows, rhs.space());
        for poison in [f64::NAN, f64::INFINITY] {
            let mut values = b.clone();
            values[3] = poison;
            let bad = rhs.space().vector(&values).unwrap();
            let on_bad = Diagonal::new(bad.clone()).unwrap();
            let options = SolveOptions::new().with_initial_guess(bad.clone());
            let given = neumann(NeumannScale::Fixed(0.1), 1e-5);
            for refused in [
                solver.solve(&a, &bad),
                solver.solve_with(&a, &rhs, options),
                solver.solve(&on_bad, &rhs),
                given.solve(&on_bad, &rhs),
            ] {
                let refused = refused.unwrap_err();
                assert!(
                    matches!(refused.downcast_ref(), Some(VectorError::NonFinite { .. })),
                    "{refused}"
                );
            }
        }
        let longer = flat::<B>(&[1.0; 7], precision);
        assert!(matches!(
            failure(&solver.solve(&a, &longer)),
            Some(VectorError::LayoutMismatch { .. })
        ));
        let options = SolveOptions::new().with_initial_guess(longer);
        assert!(solver.solve_with(&a, &rhs, options).is_err());
        let failing = FromFn::new(rhs.space(), |v: &ParamVector<B>| {
            Ok(v.clone().add(&flat::<B>(&[1.0], v.precision()))?)
        })
        .unwrap();
        assert!(solver.solve(&failing.assume_self_adjoint().unwrap(), &rhs).is_err());
        assert!(solver.solve(&Identity::<B>::new(rhs.space()).unwrap(), &rhs).is_ok());
    }
}
on_backends!(neumann_refusals: ndarray, flex, dispatch);

fn neumann_configurations<B: TestBackend>() {
    let config = NeumannConfig::new;
    let field = |config: NeumannConfig| config.init().unwrap_err().field;
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(config().with_scale(NeumannScale::Fixed(bad))), "scale");
        assert_eq!(field(config().with_smallest(Some(bad))), "smallest");
        assert_eq!(field(config().with_relative_tolerance(bad)), "relative_tolerance");
    }
    assert_eq!(field(config().with_absolute_tolerance(-1.0)), "absolute_tolerance");
    assert_eq!(field(config().with_max_iterations(0)), "max_iterations");
    assert_eq!(field(config().with_estimate_products(0)), "estimate_products");
    let changed =
        config().with_scale(NeumannScale::Fixed(0.25)).with_smallest(Some(1e-3)).with_seed(4);
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(serde_json::from_str::<NeumannConfig>(&json).unwrap(), changed);
    // A report from before there were details is still read.
    let rhs = flat::<B>(&[1.0, 2.0], B::PRECISIONS[0]);
    let solver = config().init().unwrap();
    let report = solver.solve(&Identity::<B>::new(rhs.space()).unwrap(), &rhs).unwrap().report;
    let mut value = serde_json::to_value(&report).unwrap();
    value.as_object_mut().unwrap().remove("detail");
    let old: SolveReport = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(old.detail, None);
    let mut again = serde_json::to_value(&old).unwrap();
    again.as_object_mut().unwrap().remove("detail");
    assert!(same(&again, &value));
}
on_backends!(neumann_configurations: ndarray, flex, dispatch);

/// x = s Σ_{j < K} (1 − sa)ʲ for each eigenvalue a: also where A is singular, indefinite or too large for s.
fn all_terms_are_summed_whatever_the_residual_does<B: TestBackend>() {
    let scale = 0.5;
    let sum = |a: f64, terms: usize| {
        scale * (0..terms).map(|j| (1.0 - scale * a).powi(j as i32)).sum::<f64>()
    };
    let matrices = [[1.0, 0.0], [1.0, 1.5], [0.5, -0.125], [1.0, 4.25], [-1.0, 3.0]];
    for &precision in B::PRECISIONS {
        for eigenvalues in matrices {
            let rhs = flat::<B>(&[1.0, 1.0], precision);
            let a = Diagonal::new(rhs.space().vector(&eigenvalues).unwrap()).unwrap();
            for terms in [1, 2, 50, 51, 60, 100] {
                let config = NeumannConfig::new().with_scale(NeumannScale::Fixed(scale));
                let config = config.with_max_iterations(terms).with_all_terms(true);
                let solver = config.with_relative_tolerance(f64::MIN_POSITIVE).init().unwrap();
                let solution = solver.solve(&a, &rhs).unwrap();
                let SolveReport { stop, iterations, relative_residual: residual, .. } =
                    solution.report;
                // Further terms are zero.
                let is_whole = (stop, residual) == (StopReason::Converged, 0.0);
                let is_summed = (stop, iterations) == (StopReason::IterationLimit, terms);
                assert!(is_whole || is_summed, "{eigenvalues:?}, {terms} terms: {stop:?}");
                for (found, a) in x_of(&solution).into_iter().zip(eigenvalues) {
                    let (expected, error) = (sum(a, terms), 1e3 * precision.epsilon());
                    assert!(
                        (found - expected).abs() <= error * expected.abs(),
                        "{eigenvalues:?}, {terms} terms: {found:e}, not {expected:e}"
                    );
                }
            }
        }
        let rhs = flat::<B>(&[1.0, 1.0], precision);
        let a = Diagonal::new(rhs.space().vector(&[1.0, 20.0]).unwrap()).unwrap();
        let config = NeumannConfig::new().with_scale(NeumannScale::Fixed(scale));
        let solver = config.with_max_iterations(2000).with_all_terms(true).init().unwrap();
        let grown = solver.solve(&a, &rhs).map(|_| ());
        assert!(matches!(failure(&grown), Some(SolverError::Overflow { .. })), "{grown:?}");
    }
}
on_backends!(all_terms_are_summed_whatever_the_residual_does: ndarray, flex, dispatch);
