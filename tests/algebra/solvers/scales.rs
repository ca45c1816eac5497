//! Systems far from 1: a scale of A or b changes x by that scale, and nothing else of a solve.

use burn_curvature::{
    Error, LinearSolver, ParamVector, Precision, Solution, SolveOptions, StopReason,
    errors::SolverError,
    operator::Diagonal,
    solver::{Iteration, Jacobi, MethodDetail, NystromConfig},
};

use super::{conjugate_gradient, minimum_residual, operator, x_of};
use crate::{
    TestBackend,
    dense::Rows,
    flat, flat_space,
    oracle::{logarithmic, with_spectrum},
    random::SplitMix64,
    relative_error,
};

fn tridiagonal(n: usize, scale: f64) -> Rows {
    let entry = |i: usize, j: usize| match i.abs_diff(j) {
        0 => 4.0 * scale,
        1 => -scale,
        _ => 0.0,
    };
    (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
}

/// A = 10¹² tridiag(−1, 4, −1) and b = 10⁻¹⁴: all scalar products of z = M⁻¹r would underflow in f32.
fn far_from_one<B: TestBackend>() {
    for (n, scale, size) in [(3, 1e12, 1e-14), (3, 1e-12, 1e14), (8, 1e12, 1e-14), (3, 1e30, 1e-4)]
    {
        let b = flat::<B>(&vec![size; n], Precision::F32);
        let a = operator(&tridiagonal(n, scale), b.space());
        let jacobi = Jacobi::new(&b.space().full(4.0 * scale), 0.0).unwrap();
        let expected = crate::oracle::solve(&tridiagonal(n, 1.0), &vec![1.0; n]);
        let solver = conjugate_gradient(1e-5).init().unwrap();
        let preconditioned = SolveOptions::new().with_preconditioner(&jacobi);
        let minres = minimum_residual(1e-5).init().unwrap();
        let mut solutions = vec![
            solver.solve_with(&a, &b, preconditioned).unwrap(),
            solver.solve(&a, &b).unwrap(),
            minres.solve(&a, &b).unwrap(),
            minres.solve_with(&a, &b, SolveOptions::new().with_preconditioner(&jacobi)).unwrap(),
        ];
        solutions
            .extend(solver.solve_many_with(&a, &[b.clone(), b.clone()], Some(&jacobi)).unwrap());
        for solution in solutions {
            assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
            let x: Vec<f64> = x_of(&solution).iter().map(|x| x * scale / size).collect();
            assert!(relative_error(&x, &expected) < 1e-4, "{x:?} {expected:?}");
            let norm = size * (n as f64).sqrt();
            assert!((solution.report.rhs_norm / norm - 1.0).abs() < 1e-5, "{}", solution.report);
        }
    }
}
on_backends!(far_from_one: ndarray, flex, dispatch);

/// What a solve of a system of eight unknowns says.
fn solved<B: TestBackend>(solver: &dyn LinearSolver<B>, (a, b): (i32, i32)) -> Solution<B> {
    let rows = with_spectrum(&logarithmic(0.5, 40.0, 8), 3);
    // Rounded first, so that a power of two is exact.
    let power = |e: i32| 2f64.powi(e);
    let rows = rows.iter().map(|row| row.iter().map(|x| f64::from(*x as f32) * power(a)).collect());
    let rhs: Vec<f64> =
        SplitMix64::new(5).normals(8).iter().map(|x| f64::from(*x as f32)).collect();
    let rhs: Vec<f64> = rhs.iter().map(|x| x * power(b)).collect();
    let rhs = flat::<B>(&rhs, Precision::F32);
    solver.solve(&operator(&rows.collect(), rhs.space()), &rhs).unwrap()
}

fn powers_of_two<B: TestBackend>() {
    let solvers: [Box<dyn LinearSolver<B>>; 4] = [
        Box::new(conjugate_gradient(1e-5).init().unwrap()),
        Box::new(conjugate_gradient(1e-9).with_reorthogonalization(true).init().unwrap()),
        Box::new(minimum_residual(1e-5).init().unwrap()),
        Box::new(minimum_residual(1e-9).with_reorthogonalization(true).init().unwrap()),
    ];
    for solver in &solvers {
        let plain = solved(solver.as_ref(), (0, 0));
        for (a, b) in [
            (3, -2),
            (17, 5),
            (-30, 0),
            (0, 40),
            (0, -100),
            (50, -50),
            (100, 90),
            (-90, -100),
            (60, 100),
        ] {
            let solution = solved(solver.as_ref(), (a, b));
            let power = |e: i32| 2f64.powi(e);
            let x: Vec<f64> = x_of(&plain).iter().map(|x| x * power(b - a)).collect();
            assert_eq!(x_of(&solution), x, "2^{a} A and 2^{b} b");
            let (found, expected) = (solution.report, &plain.report);
            assert_eq!(found.stop, expected.stop);
            assert_eq!(
                (found.iterations, found.applications),
                (expected.iterations, expected.applications)
            );
            assert_eq!(found.relative_residual, expected.relative_residual);
            assert_eq!(found.rhs_norm, expected.rhs_norm * power(b));
            assert_eq!(found.true_residual, expected.true_residual * power(b));
            assert_eq!(found.threshold, expected.threshold.map(|norm| norm * power(b)));
            let (found, expected) = (found.spectrum.unwrap(), expected.spectrum.unwrap());
            let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
            assert!(close(found.largest, expected.largest * power(a)), "{found:?} {expected:?}");
            assert!(close(found.smallest, expected.smallest * power(a)), "{found:?} {expected:?}");
            assert!(close(found.condition.unwrap(), expected.condition.unwrap()), "{found:?}");
        }
    }
}
on_backends!(powers_of_two: ndarray, flex);

/// The boundary of a trust region, an observer and an initial guess are in the units of the caller.
fn what_the_caller_sees<B: TestBackend>() {
    let (scale, size) = (2f64.powi(60), 2f64.powi(-40));
    let b = flat::<B>(&[size, 2.0 * size, -size], Precision::F32);
    let a = operator(&tridiagonal(3, scale), b.space());
    let exact = crate::oracle::solve(&tridiagonal(3, 1.0), &[1.0, 2.0, -1.0]);
    let radius = 0.5 * exact.iter().map(|x| x * x).sum::<f64>().sqrt() * size / scale;
    let within = conjugate_gradient(1e-6).with_trust_radius(Some(radius)).init().unwrap();
    let solution = within.solve(&a, &b).unwrap();
    assert_eq!(solution.report.stop, StopReason::TrustRegion);
    let norm = x_of(&solution).iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((norm / radius - 1.0).abs() < 1e-4, "{norm:e} {radius:e}");

    let mut last = (vec![], 0.0, 0.0);
    let mut observer = |iteration: &Iteration<'_, B>| {
        last = (iteration.x.to_vec().unwrap(), iteration.residual, iteration.objective);
    };
    let guess: Vec<f64> = exact.iter().map(|x| 0.9 * x * size / scale).collect();
    let options = SolveOptions::new()
        .with_initial_guess(b.space().vector(&guess).unwrap())
        .with_observer(&mut observer);
    let solver = conjugate_gradient(1e-5).init().unwrap();
    let solution = solver.solve_with(&a, &b, options).unwrap();
    assert_eq!(solution.report.stop, StopReason::Converged);
    assert_eq!(last.0, x_of(&solution));
    assert!(last.1 <= 1e-5 * solution.report.rhs_norm);
    let objective = -0.5 * (exact[0] + 2.0 * exact[1] - exact[2]) * size * size / scale;
    assert!((last.2 / objective - 1.0).abs() < 1e-3, "{:e} {objective:e}", last.2);
}
on_backends!(what_the_caller_sees: ndarray, flex);

/// A solution that f32 cannot hold is refused, and held by f64.
fn out_of_range<B: TestBackend>() {
    for (scale, size) in [(1e30, 1e-30), (1e-30, 1e30)] {
        let solve = |precision| -> Result<Solution<B>, Error> {
            let b = flat::<B>(&[size; 3], precision);
            let a = operator(&tridiagonal(3, scale), b.space());
            conjugate_gradient(1e-5).init().unwrap().solve(&a, &b)
        };
        let refused = solve(Precision::F32).unwrap_err();
        let found: Option<&SolverError> = refused.downcast_ref();
        assert!(matches!(found, Some(SolverError::SolutionRange { .. })), "{refused}");
        let x = x_of(&solve(Precision::F64).unwrap());
        assert!((x[1] * scale / size - 6.0 / 14.0).abs() < 1e-4, "{x:?}");
    }
}
on_backends!(out_of_range: ndarray, flex);

/// A matrix far from 1, negative along b.
fn negative_curvature_far_from_one<B: TestBackend>() {
    let b = flat::<B>(&[1e-14, 1e-14], Precision::F32);
    let a = Diagonal::new(b.space().vector(&[-3e13, 1e13]).unwrap()).unwrap();
    let solution = conjugate_gradient(1e-5).init().unwrap().solve(&a, &b).unwrap();
    assert_eq!(solution.report.stop, StopReason::NegativeCurvature);
    let found = solution.report.negative_curvature.unwrap();
    assert!((found / -1e13 - 1.0).abs() < 1e-5, "{found:e}");
    assert_eq!(solution.negative_curvature.unwrap().curvature, found);
    assert!(solution.report.to_string().contains("negative curvature -1.0000e13"));
}
on_backends!(negative_curvature_far_from_one: ndarray, flex);

/// The Nyström approximation keeps its digits far from 1.
fn nystrom_far_from_one<B: TestBackend>() {
    for scale in [1e14, 1e-14] {
        let space = flat_space::<B>(6, Precision::F32);
        let diagonal: Vec<f64> = (1..=6).map(|i| scale * f64::from(i)).collect();
        let a = Diagonal::new(space.vector(&diagonal).unwrap()).unwrap();
        let damping = 1e-3 * scale;
        let config = NystromConfig::new(6, damping).with_relative_tolerance(1e-3);
        let solution = config.init().unwrap().solve(&a, &space.full(1e-10)).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged, "{}", solution.report);
        let Some(MethodDetail::Nystrom { largest, .. }) = solution.report.detail else {
            panic!("no detail");
        };
        assert!((largest / scale - 6.0).abs() < 1e-2, "{largest:e}");
        let _: ParamVector<B> = solution.x;
    }
}
on_backends!(nystrom_far_from_one: ndarray, flex);
