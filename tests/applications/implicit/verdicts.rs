//! Inner problems that are not solved, not convex or singular: each a verdict of the report.

use burn::{module::Param, prelude::*};
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, MinresConfig, Objective, SolveOptions,
    errors::ImplicitError,
    implicit::{HyperObjective, ImplicitConfig, InnerCurvature, Verdict},
    operator::Diagonal,
    solver::DirectMethod,
};

use super::refusals::{Scalar, device, outer, problem, scalar, vector};
use crate::{failure::failure, random::SplitMix64};

/// ℒ = ¼w⁴ − ½ηw² has a maximum at 0 and minima at ±√η.
fn double_well(w: Tensor<1>, eta: Tensor<1>) -> Tensor<1> {
    w.clone().powi_scalar(4) * 0.25 - eta * w.powi_scalar(2) * 0.5
}

#[test]
fn an_indefinite_inner_matrix_is_reported_with_what_to_do() {
    let (inner, model, _) = problem((0.1, 1.0), double_well).unwrap();
    let outer = outer(&model);
    let conjugate = ConjugateGradientConfig::new().init().unwrap();
    let direct = DirectConfig::new().init().unwrap();
    let function = ImplicitConfig::new().init(&inner).unwrap();
    for report in [
        function.hypergradient(&outer, &conjugate).unwrap().report,
        function.hypergradient(&outer, &direct).unwrap().report,
    ] {
        assert_eq!(report.verdict, Verdict::Indefinite);
        assert!(report.smallest_eigenvalue.unwrap() < -0.9, "{report}");
        assert!(report.advice().contains("add damping"), "{report}");
    }
    // Damped, it is another problem, whose minimum is elsewhere.
    let damped = ImplicitConfig::new().with_damping(2.0).init(&inner).unwrap();
    let report = damped.hypergradient(&outer, &conjugate).unwrap().report;
    assert_eq!(report.verdict, Verdict::NotStationary, "{report}");
}

/// At a saddle, to which no gradient objects. A preconditioner hides the eigenvalues but not their signs, and a factorization
/// without eigenvalues has directions.
#[test]
fn a_saddle_is_reported_without_eigenvalues() {
    let (model, hyper) = (vector(&[0.0, 0.0, 0.0]), scalar(0.0));
    let problem = |scales: [f32; 3]| {
        let scales = Tensor::<1>::from_floats(scales, &device());
        let inner = HyperObjective::capture(
            &model,
            &hyper,
            scales,
            |model: &Scalar, eta: &Scalar, scales| {
                let w = model.value.val();
                (w.clone().powi_scalar(2) * scales * 0.5).sum() + (w * eta.value.val()).sum()
            },
        );
        inner.unwrap().in_f64().unwrap()
    };
    let outer = Objective::capture(&model, (), |model: &Scalar, ()| model.value.val().sum());
    let outer = outer.unwrap().in_f64().unwrap();
    let minres = MinresConfig::new().init().unwrap();
    let factors = DirectConfig::new().with_method(DirectMethod::BunchKaufman).init().unwrap();
    for (scales, verdict) in
        [([-1.0, 2.0, 10.0], Verdict::Indefinite), ([1.0, 2.0, 10.0], Verdict::Sound)]
    {
        let inner = problem(scales);
        let unit = Diagonal::new(inner.parameters().space().ones()).unwrap();
        for bounded in [false, true] {
            let function = ImplicitConfig::new().with_error_bound(bounded).init(&inner).unwrap();
            let options = SolveOptions::new().with_preconditioner(&unit);
            for found in [
                function.hypergradient_with(&outer, &minres, options),
                function.hypergradient(&outer, &factors),
            ] {
                let report = found.unwrap().report;
                assert_eq!(report.verdict, verdict, "{report}");
                assert!(!report.advice().contains("NaN"), "{report}");
            }
        }
    }
}

/// In f32 the zero eigenvalues of ggᵀ come out as either sign of ε; −10⁻⁴ of the largest is negative.
#[test]
fn a_singular_inner_matrix_is_not_indefinite_by_rounding() {
    let solver = DirectConfig::new().init().unwrap();
    let mut negative = 0;
    for seed in 0..20 {
        let g: Vec<f32> = SplitMix64::new(seed).normals(3).iter().map(|&g| g as f32).collect();
        let at = || Tensor::<1>::from_floats(g.as_slice(), &device());
        let report = |share: f32| {
            let (model, hyper) = (Scalar { value: Param::from_tensor(at()) }, scalar(1.0));
            let inner = HyperObjective::capture(&model, &hyper, at(), move |model, eta, g| {
                let (w, eta) = (model.value.val(), eta.value.val());
                let along = (w.clone() * g.clone()).sum();
                let across = w.clone().powi_scalar(2).sum() * g.powi_scalar(2).sum()
                    - along.clone().powi_scalar(2);
                (along - eta).powi_scalar(2) * 0.5 - across * (0.5 * share)
            });
            let outer =
                Objective::capture(&model, at(), |model: &Scalar, g| (model.value.val() * g).sum());
            let function = ImplicitConfig::new().init(&inner.unwrap()).unwrap();
            function.hypergradient(&outer.unwrap(), &solver).unwrap().report
        };
        let singular = report(0.0);
        negative +=
            usize::from(singular.smallest_eigenvalue.is_some_and(|smallest| smallest < 0.0));
        assert_ne!(singular.verdict, Verdict::Indefinite, "{singular}");
        let indefinite = report(1e-4);
        assert_eq!(indefinite.verdict, Verdict::Indefinite, "{indefinite}");
    }
    assert!(negative > 0);
}

#[test]
fn an_inner_problem_that_is_not_at_its_minimum_is_reported() {
    let (inner, model, _) = problem((1.3, 1.0), double_well).unwrap();
    let solver = ConjugateGradientConfig::new().init().unwrap();
    for config in [ImplicitConfig::new(), ImplicitConfig::new().with_error_bound(false)] {
        let report =
            config.init(&inner).unwrap().hypergradient(&outer(&model), &solver).unwrap().report;
        assert_eq!(report.verdict, Verdict::NotStationary);
        assert!((report.stationarity - (1.3_f64.powi(3) - 1.3)).abs() < 1e-6);
        assert!(report.distance.unwrap() > 0.2, "{report}");
        assert!(report.advice().contains("train it"), "{report}");
    }
    let (inner, model, _) = problem((1.0, 1.0), double_well).unwrap();
    let function = ImplicitConfig::new().init(&inner).unwrap();
    let report = function.hypergradient(&outer(&model), &solver).unwrap().report;
    assert!(report.is_sound(), "{report}");
    let text = serde_json::to_string(&report).unwrap();
    let read: burn_curvature::implicit::HypergradientReport = serde_json::from_str(&text).unwrap();
    assert_eq!(read.to_string(), report.to_string());
}

/// A solver that knows no eigenvalue, and no bound: the distance is that of the gradient in the matrix. In one dimension it
/// is the Newton step, (w − 1 + ηw)/(1 + η).
#[test]
fn a_distance_is_known_without_eigenvalues() {
    let ridge = |w: Tensor<1>, eta: Tensor<1>| {
        (w.clone() - 1.0).powi_scalar(2) * 0.5 + eta * w.powi_scalar(2) * 0.5
    };
    let direct = DirectConfig::new().init().unwrap();
    let conjugate = ConjugateGradientConfig::new().init().unwrap();
    for (at, verdict) in [(5.0, Verdict::NotStationary), (0.5, Verdict::Sound)] {
        let (inner, model, _) = problem((at, 1.0), ridge).unwrap();
        let function = ImplicitConfig::new().with_error_bound(false).init(&inner).unwrap();
        let outer = outer(&model);
        let report = function.hypergradient(&outer, &direct).unwrap().report;
        assert_eq!((report.smallest_eigenvalue, report.verdict), (None, verdict), "{report}");
        assert_eq!(report.distance, (at > 1.0).then_some(4.5));
        // A preconditioner hides the eigenvalues.
        let unit = Diagonal::new(inner.parameters().space().ones()).unwrap();
        let options = SolveOptions::new().with_preconditioner(&unit);
        let report = function.hypergradient_with(&outer, &conjugate, options).unwrap().report;
        assert_eq!((report.smallest_eigenvalue, report.verdict), (None, verdict), "{report}");
    }
    // In more dimensions it is a lower bound, also if the matrix is indefinite.
    let (model, hyper) = (vector(&[1.0, -2.0, 3.0]), scalar(1.0));
    let inner = |scales: [f32; 3]| {
        let inner = HyperObjective::capture(
            &model,
            &hyper,
            Tensor::<1>::from_floats(scales, &device()),
            |model: &Scalar, eta: &Scalar, scales| {
                let w = model.value.val();
                (w.clone().powi_scalar(2) * scales * 0.5).sum() + (w * eta.value.val()).sum()
            },
        );
        inner.unwrap().in_f64().unwrap()
    };
    let minres = MinresConfig::new().init().unwrap();
    for (scales, verdict) in
        [([1.0, 2.0, 10.0], Verdict::NotStationary), ([-1.0, 2.0, 10.0], Verdict::Indefinite)]
    {
        let function = ImplicitConfig::new().with_error_bound(false).init(&inner(scales)).unwrap();
        let outer = Objective::capture(&model, (), |model: &Scalar, ()| model.value.val().sum());
        let outer = outer.unwrap().in_f64().unwrap();
        let slope = function.inner().gradient().unwrap().model.to_vec().unwrap();
        let square = |of: &dyn Fn(usize) -> f64| (0..3).map(|i| of(i).powi(2)).sum::<f64>();
        let scale = |i: usize| f64::from(scales[i]);
        let step = square(&|i| slope[i] / scale(i)).sqrt();
        let least = square(&|i| slope[i]) / square(&|i| slope[i] * scale(i)).sqrt();
        let unit = Diagonal::new(function.inner().parameters().space().ones()).unwrap();
        let options = SolveOptions::new().with_preconditioner(&unit);
        let report = function.hypergradient_with(&outer, &minres, options).unwrap().report;
        let found = report.distance.unwrap();
        assert!((found / least - 1.0).abs() < 1e-12 && least < step, "{found} {least} {step}");
        assert_eq!(report.verdict, verdict, "{report}");
    }
}

/// The Gauss-Newton matrix is finite where the outputs have no second derivative; the residual is that of the Hessian.
#[test]
fn a_residual_that_is_no_number_is_not_zero() {
    let (model, hyper) = (scalar(0.0), scalar(0.0));
    let inner = HyperObjective::capture(&model, &hyper, (), |model, hyper, ()| {
        let z = model.value.val().powf_scalar(1.5) + model.value.val();
        (z.clone(), (z - hyper.value.val()).powi_scalar(2) * 0.5)
    });
    let inner = inner.unwrap().in_f64().unwrap();
    let outer = Objective::capture(&model, (), |model: &Scalar, ()| model.value.val() * 2.0);
    let outer = outer.unwrap().in_f64().unwrap();
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let config = ImplicitConfig::new().with_curvature(InnerCurvature::GaussNewton);
    for bounded in [false, true] {
        let function = config.clone().with_error_bound(bounded).init(&inner).unwrap();
        let found = function.hypergradient(&outer, &solver).unwrap();
        assert!(found.report.solve.relative_residual < 1e-6, "{}", found.report);
        assert!(!found.report.relative_residual.is_finite(), "{}", found.report);
        assert!(!found.report.is_sound(), "{}", found.report);
    }
}

/// A convexity that the caller states is held against what the solver meets.
#[test]
fn a_convexity_that_is_not_there_is_refused() {
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let found = |at: f32, convexity: f64, damping: f64| {
        let (inner, model, _) = problem((at, 1.0), double_well).unwrap();
        let config = ImplicitConfig::new().with_strong_convexity(Some(convexity));
        let function = config.with_damping(damping).init(&inner).unwrap();
        function.hypergradient(&outer(&model), &solver).map(|found| found.report)
    };
    // The second derivative is 3w² − 1: 2 at w = 1.
    let report = found(1.0, 1.999, 0.0).unwrap();
    assert_eq!(report.distance_bound, Some(report.stationarity / 1.999));
    let damped = found(1.0, 1.999, 3.0).unwrap();
    assert_eq!(damped.distance_bound, Some(damped.stationarity / 4.999));
    for (at, convexity, smallest) in [(1.0, 2.1, 2.0), (0.1, 0.5, -0.97)] {
        let refused = found(at, convexity, 0.0);
        let Some(ImplicitError::NotConvex { stated, found }) = failure(&refused) else {
            panic!("{refused:?}")
        };
        assert!(*stated == convexity && (found - smallest).abs() < 1e-5, "{stated} {found}");
    }
}
