//! Conjugate gradients in a trust region, against the exact minimizer in the region.

use crate::failure::failure;
use burn_curvature::{
    ConjugateGradientConfig, LinearOperator, LinearSolver, Precision, Solution, SolveOptions,
    StopReason,
    errors::SolverError,
    operator::Diagonal,
    solver::{Iteration, OnNegativeCurvature, UnusedOption},
};

use super::{INDEFINITE, check_report, conjugate_gradient, diagonal_rows, operator, x_of};
use crate::{
    TestBackend, assert_close,
    dense::{Rows, dot, multiply},
    flat,
    oracle::{logarithmic, solve, with_spectrum},
    random::SplitMix64,
};

fn within(radius: f64) -> ConjugateGradientConfig {
    conjugate_gradient(1e-5).with_trust_radius(Some(radius))
}

/// φ(x) = ½ xᵀA x − bᵀx
fn phi(rows: &Rows, b: &[f64], x: &[f64]) -> f64 {
    0.5 * dot(x, &multiply(rows, x)) - dot(b, x)
}

/// The minimizer of φ in the region for a definite A: (A + μI) x = b with ‖x‖ = radius, μ ≥ 0 by bisection.
fn minimizer(rows: &Rows, b: &[f64], radius: f64) -> Vec<f64> {
    let shifted = |mu: f64| {
        let mut rows = rows.clone();
        (0..b.len()).for_each(|i| rows[i][i] += mu);
        solve(&rows, b)
    };
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        let x = shifted(middle);
        if dot(&x, &x).sqrt() > radius {
            low = middle;
        } else {
            high = middle;
        }
    }
    shifted(high)
}

/// On the boundary, with at least half of the possible decrease; and nothing changes where the region is large enough.
fn trust_region_definite<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            let n = 25;
            let rows = with_spectrum(&logarithmic(0.1, 30.0, n), seed);
            let b = SplitMix64::new(seed + 2).normals(n);
            let rhs = flat::<B>(&b, precision);
            let a = operator(&rows, rhs.space());
            let exact = solve(&rows, &b);
            let length = dot(&exact, &exact).sqrt();
            for fraction in [1e-3, 0.1, 0.5, 0.9] {
                let radius = fraction * length;
                let mut seen = (Vec::new(), 0, f64::INFINITY);
                let mut observer = |iteration: &Iteration<'_, B>| {
                    let x = iteration.x.to_vec().unwrap();
                    assert!(iteration.objective < seen.2, "φ falls");
                    assert!((iteration.objective - phi(&rows, &b, &x)).abs() < 1e-3);
                    seen = (x, iteration.index, iteration.objective);
                };
                let options = SolveOptions::new().with_observer(&mut observer);
                let solver = within(radius).init().unwrap();
                let solution = solver.solve_with(&a, &rhs, options).unwrap();
                let x = x_of(&solution);
                assert_eq!(solution.report.stop, StopReason::TrustRegion);
                assert!(!solution.report.stop.is_success());
                assert!(solution.negative_curvature.is_none());
                assert!((dot(&x, &x).sqrt() / radius - 1.0).abs() < 100.0 * precision.epsilon());
                assert_eq!((x.clone(), solution.report.iterations), (seen.0, seen.1));
                check_report(&solution.report, &rows, &x, &b);
                let best = phi(&rows, &b, &minimizer(&rows, &b, radius));
                let found = phi(&rows, &b, &x);
                assert!(found <= 0.5 * best && found >= best - 1e-4 * best.abs(), "{found} {best}");
            }
            let wide = within(2.0 * length).init().unwrap().solve(&a, &rhs).unwrap();
            let plain = conjugate_gradient(1e-5).init().unwrap().solve(&a, &rhs).unwrap();
            assert_eq!(wide.report.stop, StopReason::Converged);
            assert_eq!((wide.report.clone(), x_of(&wide)), (plain.report.clone(), x_of(&plain)));
        }
    }
}
on_backends!(trust_region_definite: ndarray, flex, dispatch);

/// Negative curvature: along p to the boundary. No curvature: the same.
fn trust_region_indefinite<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let length = |solution: &Solution<B>| {
            let x = x_of(solution);
            dot(&x, &x).sqrt()
        };
        let rounding = 100.0 * precision.epsilon();
        for seed in 0..5 {
            let rows = diagonal_rows(&INDEFINITE);
            let b = SplitMix64::new(seed).normals(10);
            let rhs = flat::<B>(&b, precision);
            let a = operator(&rows, rhs.space());
            for reorthogonalization in [false, true] {
                let config = within(50.0).with_reorthogonalization(reorthogonalization);
                let mut values = Vec::new();
                let mut observer = |iteration: &Iteration<'_, B>| values.push(iteration.objective);
                let options = SolveOptions::new().with_observer(&mut observer);
                let solution = config.init().unwrap().solve_with(&a, &rhs, options).unwrap();
                assert_eq!(solution.report.stop, StopReason::TrustRegion, "{}", solution.report);
                assert!((length(&solution) / 50.0 - 1.0).abs() < rounding);
                let found = solution.negative_curvature.clone().unwrap();
                let p = found.direction.to_vec().unwrap();
                let curvature = dot(&p, &multiply(&rows, &p)) / dot(&p, &p);
                assert!((curvature - found.curvature).abs() < 1e-3 && curvature < 0.0);
                check_report(&solution.report, &rows, &x_of(&solution), &b);
                let value = phi(&rows, &b, &x_of(&solution));
                let last = *values.last().unwrap();
                assert!((value - last).abs() <= rounding * 50.0 * 50.0 * 10.0, "{value} {last}");
                assert!(values.windows(2).all(|pair| pair[1] < pair[0]));
                assert_eq!(values.len(), solution.report.iterations);
            }
        }
        let b = flat::<B>(&[3.0, 0.0, 4.0], precision);
        for (scale, negative) in [(-2.0, true), (0.0, false)] {
            let a = Diagonal::new(b.space().full(scale)).unwrap();
            let solution = within(10.0).init().unwrap().solve(&a, &b).unwrap();
            assert_eq!(solution.report.stop, StopReason::TrustRegion);
            assert_eq!(solution.report.iterations, 1);
            assert_close(&x_of(&solution), &[6.0, 0.0, 8.0], rounding);
            assert_eq!(solution.negative_curvature.is_some(), negative);
        }
    }
}
on_backends!(trust_region_indefinite: ndarray, flex, dispatch);

/// With a preconditioner the region is that of ‖x‖² = xᵀM x.
fn trust_region_preconditioned<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let n = 20;
        let m = logarithmic(1.0, 100.0, n);
        let mut rows = with_spectrum(&logarithmic(1.0, 40.0, n), 3);
        for i in 0..n {
            for j in 0..n {
                rows[i][j] *= (m[i] * m[j]).sqrt();
            }
        }
        let b = SplitMix64::new(4).normals(n);
        let rhs = flat::<B>(&b, precision);
        let inverse: Vec<f64> = m.iter().map(|m| 1.0 / m).collect();
        let inverse = Diagonal::new(rhs.space().vector(&inverse).unwrap()).unwrap();
        let exact = solve(&rows, &b);
        let norm = |x: &[f64]| x.iter().zip(&m).map(|(x, m)| m * x * x).sum::<f64>().sqrt();
        for fraction in [0.2, 0.8] {
            let radius = fraction * norm(&exact);
            let options = SolveOptions::new().with_preconditioner(&inverse);
            let solver = within(radius).init().unwrap();
            let solution = solver.solve_with(&operator(&rows, rhs.space()), &rhs, options).unwrap();
            assert_eq!(solution.report.stop, StopReason::TrustRegion);
            let found = norm(&x_of(&solution));
            assert!((found / radius - 1.0).abs() < 200.0 * precision.epsilon(), "{found} {radius}");
            check_report(&solution.report, &rows, &x_of(&solution), &b);
        }
    }
}
on_backends!(trust_region_preconditioned: ndarray, flex, dispatch);

fn trust_region_contracts<B: TestBackend>() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(within(bad).init().unwrap_err().field, "trust_radius");
    }
    let both = within(1.0).with_on_negative_curvature(OnNegativeCurvature::Continue);
    let refused = both.init().unwrap_err();
    assert_eq!(refused.field, "trust_radius");
    assert!(refused.to_string().contains("Continue"));
    let b = flat::<B>(&[1.0, 2.0], Precision::F32);
    let a = Diagonal::new(b.clone()).unwrap();
    let options = SolveOptions::new().with_initial_guess(b.clone());
    let refused = within(1.0).init().unwrap().solve_with(&a, &b, options);
    assert!(matches!(
        failure(&refused),
        Some(SolverError::OptionRefused { option: UnusedOption::InitialGuess, .. })
    ));
    // b = 0 has its solution inside every region, and f32 works far below 1.
    let zero = within(1e-6).init().unwrap().solve(&a, &b.space().zeros()).unwrap();
    assert_eq!(zero.report.stop, StopReason::Converged);
    let counted = (&a).counted();
    let tiny = within(1e-6).init().unwrap().solve(&counted, &b).unwrap();
    assert_eq!(tiny.report.stop, StopReason::TrustRegion);
    assert_eq!((tiny.report.applications, counted.applications()), (2, 2));
    let direction = [1.0 / 5f64.sqrt() * 1e-6, 2.0 / 5f64.sqrt() * 1e-6];
    assert_close(&x_of(&tiny), &direction, 1e-5);
}
on_backends!(trust_region_contracts: ndarray, flex, dispatch);
