//! The Neumann series: against its closed form, the theory of its contraction, and everything that it refuses.

use crate::failure::failure;
use burn_curvature::{
    LinearOperator, LinearSolver, NeumannConfig, Precision, SolveOptions, SolveReport, StopReason,
    errors::SolverError,
    operator::Diagonal,
    solver::{MethodDetail, Neumann, NeumannScale},
};

use super::{INDEFINITE, check_report, diagonal_rows, operator, tight, x_of};
use crate::{
    TestBackend, assert_close,
    dense::{dot, multiply},
    flat,
    oracle::{logarithmic, small_network, solve, with_spectrum},
    random::SplitMix64,
    relative_error,
};

pub(super) fn neumann(scale: NeumannScale, tolerance: f64) -> Neumann {
    let config = NeumannConfig::new().with_scale(scale);
    config.with_relative_tolerance(tolerance).init().unwrap()
}

/// Scale, λmax, contraction and error bound of a report.
pub(super) fn detail(report: &SolveReport) -> (f64, Option<f64>, Option<f64>, Option<f64>) {
    match report.detail {
        Some(MethodDetail::Neumann { scale, largest, contraction, error_bound }) => {
            (scale, largest, contraction, error_bound)
        }
        _ => panic!("no detail of a Neumann series: {report}"),
    }
}

/// The largest |1 − sλ|.
fn theory(scale: f64, spectrum: &[f64]) -> f64 {
    spectrum.iter().fold(0.0f64, |worst, a| worst.max((1.0 - scale * a).abs()))
}

/// Every way to choose the scale; no more terms than the contraction allows; the bound holds.
fn neumann_converges<B: TestBackend>() {
    let spectrum = logarithmic(0.5, 10.0, 12);
    for &precision in B::PRECISIONS {
        for seed in 0..3 {
            let rows = with_spectrum(&spectrum, seed);
            let b = SplitMix64::new(seed).normals(12);
            let exact = solve(&rows, &b);
            let rhs = flat::<B>(&b, precision);
            let mut iterations = Vec::new();
            for scale in
                [NeumannScale::InverseLargest, NeumannScale::Balanced, NeumannScale::Fixed(0.15)]
            {
                let counted = operator(&rows, rhs.space()).counted();
                let tolerance = tight(precision);
                let solution = neumann(scale, tolerance).solve(&counted, &rhs).unwrap();
                let report = &solution.report;
                assert_eq!(report.stop, StopReason::Converged, "{report}");
                let error = relative_error(&x_of(&solution), &exact);
                assert!(error <= 30.0 * tolerance, "{error:e}");
                check_report(report, &rows, &x_of(&solution), &b);
                assert_eq!(report.applications, counted.applications());
                let (s, largest, contraction, bound) = detail(report);
                let factor = theory(s, &spectrum);
                let terms = (tolerance.ln() / factor.ln()).ceil() as usize + 1;
                assert!(report.iterations <= terms, "{} > {terms}", report.iterations);
                let rounding = 20.0 * precision.epsilon() / tolerance;
                assert!(contraction.unwrap() <= factor + rounding);
                assert_eq!(largest.is_none(), scale == NeumannScale::Fixed(0.15));
                if let Some(largest) = largest {
                    assert!((9.5..=11.0).contains(&largest), "{largest}");
                }
                let absolute = error * dot(&exact, &exact).sqrt();
                // With the contraction of the last term the bound is an estimate, from below.
                assert!(bound.unwrap() >= 0.5 * absolute, "{bound:?} {absolute}");
                iterations.push(report.iterations as f64);
            }
            let ratio = iterations[0] / iterations[1];
            assert!((1.3..=2.5).contains(&ratio), "{iterations:?}");
            let known = NeumannConfig::new().with_smallest(Some(0.5)).init().unwrap();
            let solution = known.solve(&operator(&rows, rhs.space()), &rhs).unwrap();
            let error = relative_error(&x_of(&solution), &exact) * dot(&exact, &exact).sqrt();
            let (.., bound) = detail(&solution.report);
            let bound = bound.unwrap();
            assert!(
                bound >= (1.0 - 1e5 * precision.epsilon()) * error && bound <= 40.0 * error,
                "{bound:e} {error:e}"
            );
        }
    }
}
on_backends!(neumann_converges: ndarray, flex, dispatch);

/// k iterations from 0 are Σᵢ (I − sA)ⁱ s b over i < k, which is also k steps of gradient descent.
fn neumann_terms<B: TestBackend>() {
    let rows = with_spectrum(&logarithmic(0.1, 3.0, 8), 1);
    let b = SplitMix64::new(2).normals(8);
    let s = 0.3;
    let mut term: Vec<f64> = b.iter().map(|b| s * b).collect();
    let mut sum = vec![0.0; 8];
    for &precision in B::PRECISIONS {
        let rhs = flat::<B>(&b, precision);
        for terms in 1..=20 {
            if precision == B::PRECISIONS[0] || terms > 20 {
                sum = sum.iter().zip(&term).map(|(sum, term)| sum + term).collect();
                let product = multiply(&rows, &term);
                term = term.iter().zip(&product).map(|(t, p)| t - s * p).collect();
            }
            if precision != B::PRECISIONS[0] && terms < 20 {
                continue;
            }
            let config = NeumannConfig::new()
                .with_scale(NeumannScale::Fixed(s))
                .with_relative_tolerance(1e-30)
                .with_max_iterations(terms);
            let counted = operator(&rows, rhs.space()).counted();
            let solution = config.init().unwrap().solve(&counted, &rhs).unwrap();
            assert_eq!(solution.report.stop, StopReason::IterationLimit);
            assert_eq!((solution.report.iterations, counted.applications()), (terms, terms));
            assert_close(&x_of(&solution), &sum, 20.0 * precision.epsilon());
        }
    }
}
on_backends!(neumann_terms: ndarray, flex, dispatch);

/// Eigenvalues in (0, 2) converge without scaling; doubled they diverge, which is said; with scale ½ they converge.
fn neumann_scaling<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..3 {
            let b = SplitMix64::new(seed + 3).normals(15);
            let rhs = flat::<B>(&b, precision);
            let tolerance = 100.0 * tight(precision);
            let inside = with_spectrum(&logarithmic(0.1, 1.9, 15), seed);
            let one = neumann(NeumannScale::Fixed(1.0), tolerance);
            let solution = one.solve(&operator(&inside, rhs.space()), &rhs).unwrap();
            assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
            assert_close(&x_of(&solution), &solve(&inside, &b), 30.0 * tolerance);

            let doubled = with_spectrum(&logarithmic(0.2, 3.8, 15), seed);
            let solution = one.solve(&operator(&doubled, rhs.space()), &rhs).unwrap();
            let report = &solution.report;
            assert_eq!(report.stop, StopReason::Diverged, "{report}");
            assert!(report.iterations <= 8, "early: {report}");
            assert!(report.true_residual <= report.rhs_norm, "the best x so far");
            check_report(report, &doubled, &x_of(&solution), &b);
            let (_, largest, contraction, _) = detail(report);
            let largest = largest.unwrap();
            assert!((largest / 3.8 - 1.0).abs() < 0.05, "{largest}");
            assert!(contraction.unwrap() > 1.0);
            let advised = 1.0 / largest;
            assert!(report.advice().contains(&format!("a scale of {advised:.3e}")));

            for scale in [0.5, advised] {
                let solver = neumann(NeumannScale::Fixed(scale), tolerance);
                let solution = solver.solve(&operator(&doubled, rhs.space()), &rhs).unwrap();
                assert_eq!(solution.report.stop, StopReason::Converged);
                assert_close(&x_of(&solution), &solve(&doubled, &b), 30.0 * tolerance);
            }
        }
        // A scale that is beyond all bounds, and one that is a little too large.
        let b = SplitMix64::new(1).normals(3);
        let rhs = flat::<B>(&b, precision);
        let a = Diagonal::new(rhs.space().vector(&[1.0, 0.5, 0.25]).unwrap()).unwrap();
        for (scale, most) in [(1e30, 2), (2.05, 60)] {
            let solver = neumann(NeumannScale::Fixed(scale), 1e-5);
            let report = solver.solve(&a, &rhs).unwrap().report;
            assert_eq!(report.stop, StopReason::Diverged, "{report}");
            assert!(report.iterations <= most, "{report}");
        }
    }
}
on_backends!(neumann_scaling: ndarray, flex, dispatch);

/// No scale helps against a negative eigenvalue: refused before the first term, or as soon as it shows.
fn neumann_indefinite<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            let rhs = flat::<B>(&SplitMix64::new(seed).normals(10), precision);
            let a = Diagonal::new(rhs.space().vector(&INDEFINITE).unwrap()).unwrap();
            for scale in [
                NeumannScale::InverseLargest,
                NeumannScale::Balanced,
                NeumannScale::Fixed(0.02),
                NeumannScale::Fixed(1.0),
            ] {
                let solution = neumann(scale, 1e-5).solve(&a, &rhs).unwrap();
                let report = &solution.report;
                assert_eq!(report.stop, StopReason::NegativeCurvature, "{report}");
                let found = solution.negative_curvature.as_ref().unwrap();
                let p = found.direction.to_vec().unwrap();
                let curvature = p.iter().zip(INDEFINITE).map(|(p, a)| a * p * p);
                let curvature = curvature.sum::<f64>() / dot(&p, &p);
                assert!(curvature < 0.0);
                assert!((curvature - found.curvature).abs() < 1e-3);
                let given = matches!(scale, NeumannScale::Fixed(_));
                assert!(given || report.iterations == 0);
                check_report(
                    report,
                    &diagonal_rows(&INDEFINITE),
                    &x_of(&solution),
                    &rhs.to_vec().unwrap(),
                );
            }
        }
    }
    // The Hessian of a small network is refused; damped enough it is solved.
    for seed in 0..10 {
        let (hessian, gradient) = small_network(seed);
        let rhs = flat::<B>(&gradient, Precision::F64);
        let a = operator(&hessian, rhs.space());
        let solver = NeumannConfig::new().init().unwrap();
        let refused = solver.solve(&a, &rhs).unwrap().report;
        assert_eq!(refused.stop, StopReason::NegativeCurvature, "{refused}");
        let damped = (&a).damped(1.0).unwrap();
        let solution = neumann(NeumannScale::InverseLargest, 1e-12).solve(&damped, &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
        let mut rows = hessian;
        (0..26).for_each(|i| rows[i][i] += 1.0);
        assert_close(&x_of(&solution), &solve(&rows, &gradient), 1e-10);
    }
}
on_backends!(neumann_indefinite: ndarray, flex, dispatch);

/// A preconditioner close to A⁻¹ takes the place of the scale's worst ratio.
fn neumann_preconditioned<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let spectrum = logarithmic(1e-2, 1e2, 20);
        let b = SplitMix64::new(4).normals(20);
        let rhs = flat::<B>(&b, precision);
        let a = Diagonal::new(rhs.space().vector(&spectrum).unwrap()).unwrap();
        let off = |i: usize| 1.0 + 0.3 * (i as f64).sin();
        let nearly: Vec<f64> = (0..20).map(|i| off(i) / spectrum[i]).collect();
        let inverse = Diagonal::new(rhs.space().vector(&nearly).unwrap()).unwrap();
        let exact: Vec<f64> = b.iter().zip(&spectrum).map(|(b, a)| b / a).collect();
        for scale in
            [NeumannScale::InverseLargest, NeumannScale::Balanced, NeumannScale::Fixed(1.0)]
        {
            let options = SolveOptions::new().with_preconditioner(&inverse);
            let solver = neumann(scale, tight(precision));
            let solution = solver.solve_with(&a, &rhs, options).unwrap();
            let report = &solution.report;
            assert_eq!(report.stop, StopReason::Converged, "{report}");
            assert!(report.iterations <= 60, "{report}");
            check_report(report, &diagonal_rows(&spectrum), &x_of(&solution), &b);
            assert_close(&x_of(&solution), &exact, 1e4 * tight(precision));
            if let (s, Some(largest), ..) = detail(report) {
                assert!((largest - 1.3).abs() < 0.05 && s * 1.3 < 2.0, "{largest} {s}");
            }
        }
        let plain = neumann(NeumannScale::InverseLargest, 1e-4).solve(&a, &rhs).unwrap();
        assert_eq!(plain.report.stop, StopReason::IterationLimit, "κ = 10⁴ without one");
        let options = SolveOptions::new().with_preconditioner(&inverse);
        let report =
            neumann(NeumannScale::Fixed(2.0), 1e-5).solve_with(&a, &rhs, options).unwrap().report;
        assert_eq!(report.stop, StopReason::Diverged, "{report}");
        let negative = Diagonal::new(rhs.space().full(-1.0)).unwrap();
        // The first direction shows that A is negative, and nothing of the eigenvalues of M⁻¹A.
        let options = SolveOptions::new().with_preconditioner(&inverse);
        let solver = neumann(NeumannScale::InverseLargest, 1e-5);
        let report = solver.solve_with(&negative, &rhs, options).unwrap().report;
        assert_eq!(
            (report.stop, report.spectrum),
            (StopReason::NegativeCurvature, None),
            "{report}"
        );
        assert!(report.negative_curvature.is_some_and(|found| (found + 1.0).abs() < 1e-5));
        let options = SolveOptions::new().with_preconditioner(&negative);
        let refused = neumann(NeumannScale::Fixed(1.0), 1e-5).solve_with(&a, &rhs, options);
        assert!(
            matches!(failure(&refused), Some(SolverError::Preconditioner { found }) if *found < 0.0)
        );
    }
}
on_backends!(neumann_preconditioned: ndarray, flex, dispatch);
