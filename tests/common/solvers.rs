//! Solvers: against a dense solve in f64, closed forms and laws; every stop reason and every bad input.

use burn_curvature::{
    ConfigError, ConjugateGradient, ConjugateGradientConfig, Diagonal, Direct, DirectConfig,
    DirectMethod, Error, FromFn, Identity, Iteration, LinearOperator, LinearSolver, Method,
    OnNegativeCurvature, OperatorError, ParamVector, Precision, Solution, SolveOptions,
    SolveReport, SolverError, StopReason, SymmetricDense, VectorError,
};

use super::{
    TestBackend, assert_close, flat,
    oracle::{
        Numbers, Rows, dot, logarithmic, matrix, multiply, small_network, solve, with_spectrum,
    },
    relative_error,
};

fn conjugate_gradient(tolerance: f64) -> ConjugateGradientConfig {
    ConjugateGradientConfig::new().with_relative_tolerance(tolerance)
}

fn operator<B: TestBackend>(rows: &Rows, like: &ParamVector<B>) -> SymmetricDense<B> {
    SymmetricDense::new(&matrix(rows), like).unwrap()
}

fn x_of<B: TestBackend>(solution: &Solution<B>) -> Vec<f64> {
    solution.x.to_vec().unwrap()
}

/// The smallest tolerance that is worth asking for.
fn tight(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::F64 => 1e-12,
    }
}

/// ‖b − A x‖ in f64 for the matrix and the numbers as they are.
fn residual(rows: &Rows, x: &[f64], b: &[f64]) -> f64 {
    let product = multiply(rows, x);
    let r: Vec<f64> = b.iter().zip(&product).map(|(b, p)| b - p).collect();
    dot(&r, &r).sqrt()
}

/// The report keeps to its definition, whatever happened.
fn check_report(report: &SolveReport, rows: &Rows, x: &[f64], b: &[f64]) {
    let norm = dot(b, b).sqrt();
    let scale = norm + rows.iter().flatten().fold(0.0f64, |m, a| m.max(a.abs())) * dot(x, x).sqrt();
    let rounding = 50.0 * report.precision.epsilon() * scale;
    assert!(
        (report.true_residual - residual(rows, x, b)).abs() <= rounding,
        "{report}"
    );
    assert!((report.rhs_norm - norm).abs() <= rounding);
    assert!((report.relative_residual * norm - report.true_residual).abs() <= rounding);
    let text = report.to_string();
    let advice = text.lines().last().unwrap();
    assert_eq!(advice, report.advice());
    assert!(
        advice.ends_with('.') && !advice.contains(". "),
        "one sentence: {advice}"
    );
    let json = serde_json::to_string(report).unwrap();
    let back: SolveReport = serde_json::from_str(&json).unwrap();
    assert!(
        same(
            &serde_json::to_value(back).unwrap(),
            &serde_json::to_value(report).unwrap()
        ),
        "{json}"
    );
}

/// Equal, but for the last digit that serde_json loses of a float.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    match (a.as_object(), b.as_object(), a.as_f64(), b.as_f64()) {
        (Some(a), Some(b), ..) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (_, _, Some(a), Some(b)) => (a - b).abs() <= 1e-15 * b.abs(),
        _ => a == b,
    }
}

/// Random positive definite systems of given spectra against Gaussian elimination.
pub fn positive_definite_systems<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            for condition in [1.0, 10.0, 300.0] {
                let n = 30;
                let rows = with_spectrum(&logarithmic(0.5, 0.5 * condition, n), seed);
                let b = Numbers(seed + 50).normals(n);
                let rhs = flat::<B>(&b, precision);
                let solver = conjugate_gradient(tight(precision)).init().unwrap();
                let solution = solver.solve(&operator(&rows, &rhs), &rhs).unwrap();
                assert_eq!(
                    solution.report.stop,
                    StopReason::Converged,
                    "{}",
                    solution.report
                );
                let bound = condition * 2.0 * tight(precision);
                assert_close(&x_of(&solution), &solve(&rows, &b), bound);
                check_report(&solution.report, &rows, &x_of(&solution), &b);
                assert!(solution.negative_curvature.is_none());
                assert!(solution.report.true_residual <= solution.report.threshold.unwrap());
            }
        }
    }
}

/// ‖x − xₖ‖ in the norm of A falls at least as fast as 2((√κ − 1)/(√κ + 1))ᵏ.
pub fn convergence_bound<B: TestBackend>() {
    for seed in 0..5 {
        let (n, condition) = (40, 100.0f64);
        let rows = with_spectrum(&logarithmic(1.0, condition, n), seed);
        let b = Numbers(seed).normals(n);
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
        let solution = solver
            .solve_with(&operator(&rows, &rhs), &rhs, options)
            .unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        assert_eq!(iterates.len(), solution.report.iterations);
        for (k, x) in &iterates {
            let bound = 2.0 * rate.powi(*k as i32) * start;
            assert!(
                energy(x) <= bound * (1.0 + 1e-9),
                "step {k}: {} > {bound}",
                energy(x)
            );
        }
        // The bound is met by more than trivial margins only if it is not vacuous.
        assert!(solution.report.iterations > 10);
    }
}

/// As many iterations as different eigenvalues, counting every product.
pub fn few_eigenvalues<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let diagonal = flat::<B>(&[2.0, 5.0, 2.0, 9.0, 5.0, 9.0, 2.0], precision);
    let counted = Diagonal::new(diagonal.clone()).counted();
    let solution = conjugate_gradient(1e-6)
        .init()
        .unwrap()
        .solve(&counted, &diagonal.ones_like())
        .unwrap();
    assert_eq!(solution.report.stop, StopReason::Converged);
    assert_eq!(solution.report.iterations, 3);
    assert_eq!(solution.report.applications, 4);
    assert_eq!(counted.applications(), 4);
}

const INDEFINITE: [f64; 10] = [6.0, -5.0, 2.0, 7.0, -1.0, 10.0, 4.0, -3.0, -8.0, 9.0];

pub fn negative_curvature_stops<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            let diagonal = flat::<B>(&INDEFINITE, precision);
            let b = Numbers(seed).normals(10);
            let rhs = diagonal.from_vec_like(&b).unwrap();
            let mut last = vec![0.0; 10];
            let mut observer = |iteration: &Iteration<'_, B>| last = iteration.x.to_vec().unwrap();
            let options = SolveOptions::new().with_observer(&mut observer);
            let solver = ConjugateGradientConfig::new().init().unwrap();
            let solution = solver
                .solve_with(&Diagonal::new(diagonal), &rhs, options)
                .unwrap();
            assert_eq!(solution.report.stop, StopReason::NegativeCurvature);
            assert_eq!(x_of(&solution), last, "the iterate before the step");
            let found = solution.negative_curvature.clone().unwrap();
            let p = found.direction.to_vec().unwrap();
            let curvature = p
                .iter()
                .zip(INDEFINITE)
                .map(|(p, a)| a * p * p)
                .sum::<f64>()
                / dot(&p, &p);
            assert!(curvature <= 0.0, "{curvature}");
            assert!(
                (curvature - found.curvature).abs() < 1e-4,
                "{curvature} {}",
                found.curvature
            );
            let rows = diagonal_rows(&INDEFINITE);
            check_report(&solution.report, &rows, &x_of(&solution), &b);
            assert!(solution.report.advice().contains("damping"));
        }
    }
}

fn diagonal_rows(values: &[f64]) -> Rows {
    (0..values.len())
        .map(|i| {
            (0..values.len())
                .map(|j| if i == j { values[i] } else { 0.0 })
                .collect()
        })
        .collect()
}

/// Carried through with reorthogonalisation, the recurrences solve indefinite systems in n steps.
pub fn carried_through<B: TestBackend>() {
    let solver = |n: usize, reorthogonalisation: bool| {
        conjugate_gradient(1e-15)
            .with_max_iterations(Some(n))
            .with_residual_replacement(None)
            .with_reorthogonalisation(reorthogonalisation)
            .with_on_negative_curvature(OnNegativeCurvature::Continue)
            .init()
            .unwrap()
    };
    let rhs = flat::<B>(&[1.0; 10], Precision::F64);
    let solution = solver(10, true)
        .solve(&operator(&diagonal_rows(&INDEFINITE), &rhs), &rhs)
        .unwrap();
    let expected: Vec<f64> = INDEFINITE.iter().map(|a| 1.0 / a).collect();
    assert_close(&x_of(&solution), &expected, 1e-12);
    assert!(solution.negative_curvature.unwrap().curvature < 0.0);

    // 26 unknowns, 12 negative eigenvalues, κ = 4·10⁴, as the Hessian of a small network has them.
    let mut spectrum: Vec<f64> = logarithmic(1.2e-4, 0.7, 12).iter().map(|x| -x).collect();
    spectrum.extend(logarithmic(1.3e-4, 4.8, 14));
    let (mut errors, mut plain) = (Vec::new(), Vec::new());
    for seed in 0..20 {
        let rows = with_spectrum(&spectrum, seed);
        let exact = Numbers(seed + 7).normals(26);
        let b = multiply(&rows, &exact);
        let rhs = flat::<B>(&b, Precision::F64);
        let solution = solver(26, true)
            .solve(&operator(&rows, &rhs), &rhs)
            .unwrap();
        assert!(solution.report.iterations <= 26);
        errors.push(relative_error(&x_of(&solution), &exact));
        check_report(&solution.report, &rows, &x_of(&solution), &b);
        let single = flat::<B>(&b, Precision::F32);
        let solution = solver(40, false)
            .solve(&operator(&rows, &single), &single)
            .unwrap();
        plain.push(relative_error(&x_of(&solution), &exact));
    }
    errors.sort_by(f64::total_cmp);
    plain.sort_by(f64::total_cmp);
    assert!(errors[19] <= 1e-10, "{errors:?}");
    assert!(
        plain[10] > 1e-2,
        "what reorthogonalisation is for: {plain:?}"
    );
}

/// The Hessian of a small network is indefinite: plain conjugate gradients stop and say so; carried through with
/// reorthogonalisation they solve the system in 26 steps.
pub fn small_networks<B: TestBackend>() {
    let carried = conjugate_gradient(1e-15)
        .with_max_iterations(Some(26))
        .with_reorthogonalisation(true)
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
        let a = operator(&hessian, &rhs);
        assert_eq!(
            plain.solve(&a, &rhs).unwrap().report.stop,
            StopReason::NegativeCurvature
        );
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
        let solution = carried.solve(&operator(&hessian, &rhs), &rhs).unwrap();
        single.push(relative_error(&x_of(&solution), &exact));
    }
    single.sort_by(f64::total_cmp);
    assert!(single[50] <= 1e-4, "{:e}", single[50]);
}

/// b = 0, an exact guess, one unknown.
pub fn degenerate_systems<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let diagonal = flat::<B>(&[1.0, 2.0, 4.0], precision);
        let a = Diagonal::new(diagonal.clone()).counted();
        let solver = ConjugateGradientConfig::new().init().unwrap();
        let zero = solver.solve(&a, &diagonal.zeros_like()).unwrap();
        assert_eq!(zero.report.stop, StopReason::Converged);
        assert_eq!((x_of(&zero), a.applications()), (vec![0.0; 3], 0));
        assert_eq!(
            (zero.report.relative_residual, zero.report.iterations),
            (0.0, 0)
        );
        let options = SolveOptions::new().with_initial_guess(diagonal.clone());
        let zero = solver
            .solve_with(&a, &diagonal.zeros_like(), options)
            .unwrap();
        assert_eq!(
            (zero.report.stop, x_of(&zero)),
            (StopReason::Converged, vec![0.0; 3])
        );
        assert_eq!(zero.report.true_residual, 0.0);

        let options = SolveOptions::new().with_initial_guess(diagonal.ones_like());
        let exact = solver.solve_with(&a, &diagonal, options).unwrap();
        assert_eq!(exact.report.stop, StopReason::Converged);
        assert_eq!((exact.report.iterations, exact.report.applications), (0, 1));
        assert_eq!(x_of(&exact), [1.0; 3]);

        let one = flat::<B>(&[4.0], precision);
        let solution = solver
            .solve(&Diagonal::new(one.clone()), &one.full_like(2.0))
            .unwrap();
        assert_eq!(
            (solution.report.stop, solution.report.iterations),
            (StopReason::Converged, 1)
        );
        assert_eq!(x_of(&solution), [0.5]);
        let negative = solver
            .solve(&Diagonal::new(one.neg()), &flat::<B>(&[2.0], precision))
            .unwrap();
        assert_eq!(negative.report.stop, StopReason::NegativeCurvature);
        assert_eq!(
            (x_of(&negative), negative.report.true_residual),
            (vec![0.0], 2.0)
        );
    }
}

/// A good guess saves iterations and leads to the same solution.
pub fn initial_guess<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let rows = with_spectrum(&logarithmic(1.0, 50.0, 20), 3);
    let b = Numbers(4).normals(20);
    let exact = solve(&rows, &b);
    let rhs = flat::<B>(&b, precision);
    let close: Vec<f64> = exact.iter().map(|x| x * (1.0 + 1e-4)).collect();
    let solver = conjugate_gradient(1e-6).init().unwrap();
    let cold = solver.solve(&operator(&rows, &rhs), &rhs).unwrap();
    let options = SolveOptions::new().with_initial_guess(rhs.from_vec_like(&close).unwrap());
    let warm = solver
        .solve_with(&operator(&rows, &rhs), &rhs, options)
        .unwrap();
    assert_eq!(
        (cold.report.stop, warm.report.stop),
        (StopReason::Converged, StopReason::Converged)
    );
    assert!(warm.report.iterations < cold.report.iterations);
    assert_close(&x_of(&warm), &exact, 1e-4);
}

/// The recurrence for φ agrees with ½ xᵀA x − bᵀx, from zero and from a guess.
pub fn observed_objective<B: TestBackend>() {
    let rows = with_spectrum(&logarithmic(1.0, 50.0, 12), 5);
    let b = Numbers(6).normals(12);
    let rhs = flat::<B>(&b, Precision::F64);
    for guess in [vec![0.0; 12], Numbers(7).normals(12)] {
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
            .with_initial_guess(rhs.from_vec_like(&guess).unwrap())
            .with_observer(&mut observer);
        let solver = conjugate_gradient(1e-10).init().unwrap();
        let solution = solver
            .solve_with(&operator(&rows, &rhs), &rhs, options)
            .unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        assert!(worst < 1e-11, "{worst:e}");
    }
}

/// A perfect preconditioner needs one step; a diagonal one helps a badly scaled system.
pub fn preconditioning<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let scales = logarithmic(1.0, 1e4, 24);
        let mut rows = with_spectrum(&logarithmic(1.0, 10.0, 24), 9);
        for i in 0..24 {
            for j in 0..24 {
                rows[i][j] *= (scales[i] * scales[j]).sqrt();
            }
        }
        let b = Numbers(10).normals(24);
        let rhs = flat::<B>(&b, precision);
        let inverse: Vec<f64> = (0..24).map(|i| 1.0 / rows[i][i]).collect();
        let jacobi = Diagonal::new(rhs.from_vec_like(&inverse).unwrap());
        let solver = conjugate_gradient(1e-5).init().unwrap();
        let a = operator(&rows, &rhs);
        let plain = solver.solve(&a, &rhs).unwrap();
        let options = SolveOptions::new().with_preconditioner(&jacobi);
        let helped = solver.solve_with(&a, &rhs, options).unwrap();
        assert_eq!(
            helped.report.stop,
            StopReason::Converged,
            "{}",
            helped.report
        );
        assert!(2 * helped.report.iterations < plain.report.iterations);
        check_report(&helped.report, &rows, &x_of(&helped), &b);
        // The estimates are those of M⁻¹A.
        let spectrum = helped.report.spectrum.unwrap();
        assert!(spectrum.condition.unwrap() < 30.0, "{spectrum:?}");
        assert_close(&x_of(&helped), &solve(&rows, &b), 1e-3);
        let reorthogonalised = conjugate_gradient(1e-5)
            .with_reorthogonalisation(true)
            .init()
            .unwrap();
        let options = SolveOptions::new().with_preconditioner(&jacobi);
        let again = reorthogonalised.solve_with(&a, &rhs, options).unwrap();
        assert_eq!(again.report.stop, StopReason::Converged);
        assert!(again.report.iterations <= helped.report.iterations + 1);
    }
}

/// κ ≈ 10⁶ in f32: the residual looks converged, the solution is not, and the report says so.
pub fn small_residual_large_error<B: TestBackend>() {
    let mut told = 0;
    for seed in 0..5 {
        let n = 30;
        let rows = with_spectrum(&logarithmic(1e-6, 1.0, n), seed);
        // Mostly in the directions of large eigenvalues, as a gradient is.
        let b = multiply(&rows, &Numbers(seed + 1).normals(n));
        let rhs = flat::<B>(&b, Precision::F32);
        let solver = conjugate_gradient(1e-4).init().unwrap();
        let solution = solver.solve(&operator(&rows, &rhs), &rhs).unwrap();
        assert_eq!(
            solution.report.stop,
            StopReason::Converged,
            "{}",
            solution.report
        );
        let error = relative_error(&x_of(&solution), &solve(&rows, &b));
        assert!(error > 0.05, "the example is meant to be bad: {error}");
        assert!(solution.report.residual_misleads(), "{}", solution.report);
        assert!(solution.report.error_estimate().unwrap() > 0.1 * error);
        assert!(solution.report.advice().contains("solve in f64"));
        told += 1;
    }
    assert_eq!(told, 5);
    // And says nothing of the kind where the residual can be trusted.
    let rows = with_spectrum(&logarithmic(1.0, 10.0, 30), 1);
    let rhs = flat::<B>(&Numbers(2).normals(30), Precision::F32);
    let solution = conjugate_gradient(1e-5)
        .init()
        .unwrap()
        .solve(&operator(&rows, &rhs), &rhs)
        .unwrap();
    assert!(!solution.report.residual_misleads(), "{}", solution.report);
}

/// A tolerance that f32 cannot reach: the recurrence claims it, the true residual does not.
pub fn stagnation<B: TestBackend>() {
    let rows = with_spectrum(&logarithmic(1e-4, 1.0, 30), 2);
    let b = Numbers(3).normals(30);
    let rhs = flat::<B>(&b, Precision::F32);
    let solver = conjugate_gradient(1e-12).init().unwrap();
    let solution = solver.solve(&operator(&rows, &rhs), &rhs).unwrap();
    assert_eq!(
        solution.report.stop,
        StopReason::Stagnation,
        "{}",
        solution.report
    );
    assert!(solution.report.true_residual > solution.report.threshold.unwrap());
    check_report(&solution.report, &rows, &x_of(&solution), &b);
    assert!(solution.report.advice().contains("f64"));
}

/// The curvature vanishes: a zero operator, and a singular one with b partly in its null space.
pub fn breakdown<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let solver = ConjugateGradientConfig::new().init().unwrap();
        let b = flat::<B>(&[1.0, 2.0, 3.0], precision);
        let zero = solver.solve(&Diagonal::new(b.zeros_like()), &b).unwrap();
        assert_eq!(zero.report.stop, StopReason::Breakdown);
        assert_eq!((x_of(&zero), zero.report.iterations), (vec![0.0; 3], 0));
        assert!((zero.report.true_residual - 14f64.sqrt()).abs() < 1e-5);
        let singular = Diagonal::new(b.from_vec_like(&[1.0, 2.0, 0.0]).unwrap());
        let solution = solver.solve(&singular, &b).unwrap();
        assert_eq!(
            solution.report.stop,
            StopReason::Breakdown,
            "{}",
            solution.report
        );
        check_report(
            &solution.report,
            &diagonal_rows(&[1.0, 2.0, 0.0]),
            &x_of(&solution),
            &[1.0, 2.0, 3.0],
        );
        // With b in the range, a singular operator is no obstacle.
        let consistent = b.from_vec_like(&[1.0, 2.0, 0.0]).unwrap();
        let solution = solver.solve(&singular, &consistent).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        assert_close(&x_of(&solution)[..2], &[1.0, 1.0], 1e-5);
    }
}

/// The limit is a stop reason, with numbers of the last iterate.
pub fn iteration_limit<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&logarithmic(1.0, 1e3, 25), 4);
        let b = Numbers(5).normals(25);
        let rhs = flat::<B>(&b, precision);
        let counted = operator(&rows, &rhs).counted();
        let solver = conjugate_gradient(1e-6)
            .with_max_iterations(Some(4))
            .init()
            .unwrap();
        let solution = solver.solve(&counted, &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::IterationLimit);
        assert_eq!((solution.report.iterations, counted.applications()), (4, 5));
        assert!(solution.report.relative_residual > 1e-6);
        let enough = conjugate_gradient(1e-4)
            .with_max_iterations(Some(200))
            .init()
            .unwrap();
        assert_eq!(
            enough.solve(&counted, &rhs).unwrap().report.stop,
            StopReason::Converged
        );
        check_report(&solution.report, &rows, &x_of(&solution), &b);
    }
}

/// Martens' rule stops early, and never by default.
pub fn relative_progress<B: TestBackend>() {
    let rows = with_spectrum(&logarithmic(1e-3, 1.0, 200), 6);
    let rhs = flat::<B>(&Numbers(7).normals(200), Precision::F64);
    let a = operator(&rows, &rhs);
    let full = conjugate_gradient(1e-10)
        .init()
        .unwrap()
        .solve(&a, &rhs)
        .unwrap();
    let truncated = conjugate_gradient(1e-10)
        .with_relative_progress(Some(5e-4))
        .init()
        .unwrap();
    let truncated = truncated.solve(&a, &rhs).unwrap();
    assert_eq!(full.report.stop, StopReason::Converged);
    assert_eq!(truncated.report.stop, StopReason::RelativeProgress);
    assert!(
        truncated.report.iterations > 10 && truncated.report.iterations < full.report.iterations
    );
}

/// Ritz values of a full run are eigenvalues; those of a short one lie within.
pub fn ritz_estimates<B: TestBackend>() {
    for seed in 0..5 {
        let n = 20;
        let rows = with_spectrum(&logarithmic(0.1, 200.0, n), seed);
        let rhs = flat::<B>(&Numbers(seed + 30).normals(n), Precision::F64);
        let a = operator(&rows, &rhs);
        let full = conjugate_gradient(1e-12)
            .init()
            .unwrap()
            .solve(&a, &rhs)
            .unwrap();
        let spectrum = full.report.spectrum.unwrap();
        assert_eq!(full.report.stop, StopReason::Converged);
        assert!((spectrum.smallest / 0.1 - 1.0).abs() < 1e-6, "{spectrum:?}");
        assert!(
            (spectrum.largest / 200.0 - 1.0).abs() < 1e-10,
            "{spectrum:?}"
        );
        assert!((spectrum.condition.unwrap() / 2000.0 - 1.0).abs() < 1e-6);
        assert!(!spectrum.exact);
        let short = conjugate_gradient(1e-12)
            .with_max_iterations(Some(5))
            .init()
            .unwrap();
        let inner = short.solve(&a, &rhs).unwrap().report.spectrum.unwrap();
        assert!(
            inner.smallest >= 0.1
                && inner.largest <= 200.0 + 1e-9
                && inner.smallest < inner.largest
        );
    }
    // An indefinite run carried through finds both ends.
    let rhs = flat::<B>(&Numbers(1).normals(10), Precision::F64);
    let solver = conjugate_gradient(1e-12)
        .with_on_negative_curvature(OnNegativeCurvature::Continue)
        .with_reorthogonalisation(true)
        .init()
        .unwrap();
    let solution = solver
        .solve(&operator(&diagonal_rows(&INDEFINITE), &rhs), &rhs)
        .unwrap();
    let spectrum = solution.report.spectrum.unwrap();
    assert!(
        (spectrum.smallest + 8.0).abs() < 1e-8 && (spectrum.largest - 10.0).abs() < 1e-8,
        "{spectrum:?}"
    );
}

/// Loss, damping and gradient times c: the same x.
pub fn scale_invariance<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&logarithmic(0.2, 20.0, 15), 8);
        let rhs = flat::<B>(&Numbers(9).normals(15), precision);
        let solver = conjugate_gradient(1e-5).init().unwrap();
        let base = operator(&rows, &rhs).damped(0.1).unwrap();
        let plain = solver.solve(&base, &rhs).unwrap();
        for c in [1e-3, 1024.0] {
            let scaled = operator(&rows, &rhs)
                .scaled(c)
                .unwrap()
                .damped(0.1 * c)
                .unwrap();
            let solution = solver.solve(&scaled, &rhs.clone().scale(c)).unwrap();
            assert_eq!(solution.report.stop, plain.report.stop);
            assert_close(&x_of(&solution), &x_of(&plain), 1e-4);
        }
    }
}

pub fn bad_input<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let b = flat::<B>(&[1.0, 2.0], precision);
    let identity = Identity::<B>::new(b.layout());
    let longer = flat::<B>(&[1.0; 3], precision);
    let wrong = solver.solve(&identity, &longer);
    assert!(matches!(
        wrong,
        Err(Error::Vector(VectorError::LayoutMismatch {
            expected: 2,
            found: 3,
            ..
        }))
    ));
    let options = SolveOptions::new().with_initial_guess(longer);
    let wrong = solver.solve_with(&identity, &b, options);
    assert!(matches!(
        wrong,
        Err(Error::Vector(VectorError::LayoutMismatch { .. }))
    ));

    let non_finite = |result: Result<Solution<B>, Error>, words: &str| match result.unwrap_err() {
        Error::Vector(VectorError::NonFinite { what, .. }) => {
            assert!(what.contains(words), "{what}")
        }
        other => panic!("expected a non-finite vector, got {other:?}"),
    };
    for poison in [f64::NAN, f64::INFINITY] {
        let bad = b.from_vec_like(&[1.0, poison]).unwrap();
        non_finite(solver.solve(&identity, &bad), "right-hand side");
        let options = SolveOptions::new().with_initial_guess(bad.clone());
        non_finite(solver.solve_with(&identity, &b, options), "initial guess");
        non_finite(solver.solve(&Diagonal::new(bad.clone()), &b), "product A p");
        let inverse = Diagonal::new(bad.clone());
        let options = SolveOptions::new().with_preconditioner(&inverse);
        non_finite(
            solver.solve_with(&Diagonal::new(b.clone()), &b, options),
            "p",
        );
        let direct = DirectConfig::new().init().unwrap();
        non_finite(direct.solve(&identity, &bad), "right-hand side");
        let refused = direct.solve(&Diagonal::new(bad), &b).unwrap_err();
        assert!(matches!(
            refused,
            Error::Operator(OperatorError::NonFiniteEntry { .. })
        ));
    }
    let tiny = flat::<B>(&[1e-25, 0.0], Precision::F32);
    let refused = solver
        .solve(&Identity::<B>::new(tiny.layout()), &tiny)
        .unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Solver(SolverError::RightHandSideRange { .. })
        ),
        "{refused}"
    );
    let negative = Diagonal::new(b.full_like(-1.0));
    let options = SolveOptions::new().with_preconditioner(&negative);
    let refused = solver.solve_with(&identity, &b, options).unwrap_err();
    assert!(matches!(refused, Error::Solver(SolverError::Preconditioner { found }) if found < 0.0));
    let failing = FromFn::new(b.layout(), |v: &ParamVector<B>| {
        v.clone()
            .add(&flat::<B>(&[1.0], v.precision()))
            .map_err(Error::from)
    });
    let refused = solver.solve(&failing.assume_self_adjoint().unwrap(), &b);
    assert!(matches!(
        refused,
        Err(Error::Vector(VectorError::LayoutMismatch { .. }))
    ));
}

pub fn configurations<B: TestBackend>() {
    let field = |result: Result<ConjugateGradient, ConfigError>| result.unwrap_err().field;
    let config = ConjugateGradientConfig::new;
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            field(config().with_relative_tolerance(bad).init()),
            "relative_tolerance"
        );
    }
    assert_eq!(
        field(config().with_absolute_tolerance(-1e-9).init()),
        "absolute_tolerance"
    );
    assert_eq!(
        field(config().with_max_iterations(Some(0)).init()),
        "max_iterations"
    );
    assert_eq!(
        field(config().with_residual_replacement(Some(0)).init()),
        "residual_replacement"
    );
    assert_eq!(
        field(config().with_stagnation_window(Some(0)).init()),
        "stagnation_window"
    );
    for bad in [0.0, 1.0, f64::NAN] {
        assert_eq!(
            field(config().with_relative_progress(Some(bad)).init()),
            "relative_progress"
        );
    }
    let direct = |config: DirectConfig| config.init().unwrap_err().to_string();
    assert!(direct(DirectConfig::new().with_max_size(0)).contains("max_size"));
    assert!(direct(DirectConfig::new().with_singular_below(Some(-1.0))).contains("singular_below"));
    assert!(
        direct(DirectConfig::new().with_symmetry_tolerance(f64::NAN))
            .contains("symmetry_tolerance")
    );

    let changed = config()
        .with_relative_tolerance(1e-7)
        .with_max_iterations(Some(17))
        .with_residual_replacement(None)
        .with_on_negative_curvature(OnNegativeCurvature::Continue)
        .with_relative_progress(Some(5e-4));
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(
        serde_json::from_str::<ConjugateGradientConfig>(&json).unwrap(),
        changed
    );
    assert_eq!(*changed.init().unwrap().config(), changed);
    let changed = DirectConfig::new()
        .with_method(DirectMethod::BunchKaufman)
        .with_singular_below(Some(1e-9));
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(
        serde_json::from_str::<DirectConfig>(&json).unwrap(),
        changed
    );
}

/// Every factorisation against Gaussian elimination.
pub fn direct_solves<B: TestBackend>() {
    let definite = logarithmic(0.1, 10.0, 12);
    let indefinite: Vec<f64> = definite
        .iter()
        .enumerate()
        .map(|(i, x)| if i % 3 == 0 { -x } else { *x })
        .collect();
    let cases = [
        (&definite, DirectMethod::Automatic, Method::Cholesky),
        (&definite, DirectMethod::Cholesky, Method::Cholesky),
        (&definite, DirectMethod::BunchKaufman, Method::BunchKaufman),
        (
            &indefinite,
            DirectMethod::Automatic,
            Method::EigenDecomposition,
        ),
        (
            &indefinite,
            DirectMethod::BunchKaufman,
            Method::BunchKaufman,
        ),
        (
            &indefinite,
            DirectMethod::EigenDecomposition,
            Method::EigenDecomposition,
        ),
    ];
    for &precision in B::PRECISIONS {
        for (spectrum, asked, got) in cases {
            for seed in 0..3 {
                let rows = with_spectrum(spectrum, seed);
                let b = Numbers(seed).normals(12);
                let rhs = flat::<B>(&b, precision);
                let counted = operator(&rows, &rhs).counted();
                let solver = DirectConfig::new().with_method(asked).init().unwrap();
                let solution = solver.solve(&counted, &rhs).unwrap();
                assert_eq!(
                    (solution.report.stop, solution.report.method),
                    (StopReason::Solved, got)
                );
                assert_close(
                    &x_of(&solution),
                    &solve(&rows, &b),
                    2000.0 * precision.epsilon(),
                );
                check_report(&solution.report, &rows, &x_of(&solution), &b);
                assert_eq!(
                    (solution.report.applications, counted.applications()),
                    (13, 13)
                );
                if got == Method::EigenDecomposition {
                    let condition = solution.report.spectrum.unwrap().condition.unwrap();
                    assert!((condition / 100.0 - 1.0).abs() < 1e-4, "{condition}");
                }
            }
        }
    }
    let rhs = flat::<B>(&[1.0; 12], Precision::F64);
    let refused = DirectConfig::new()
        .with_method(DirectMethod::Cholesky)
        .init()
        .unwrap();
    let refused = refused
        .solve(&operator(&with_spectrum(&indefinite, 1), &rhs), &rhs)
        .unwrap_err();
    assert_eq!(
        refused,
        Error::Solver(SolverError::Factorisation {
            method: Method::Cholesky
        })
    );
}

/// Singular systems: the shortest least-squares solution, and the fact reported.
pub fn direct_singular<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rhs = flat::<B>(&[2.0, -3.0, 5.0, 1.0], precision);
        let a = Diagonal::new(rhs.from_vec_like(&[1.0, -3.0, 0.0, 1e-12]).unwrap());
        let solver = DirectConfig::new()
            .with_singular_below(Some(1e-10))
            .init()
            .unwrap();
        let solution = solver.solve(&a, &rhs).unwrap();
        assert_eq!(solution.report.stop, StopReason::Singular);
        assert_close(&x_of(&solution), &[2.0, 1.0, 0.0, 0.0], 1e-6);
        assert!((solution.report.true_residual - 26f64.sqrt()).abs() < 1e-5);
        assert_eq!(solution.report.spectrum.unwrap().condition, None);
        let zero = solver
            .solve(&Diagonal::new(rhs.zeros_like()), &rhs)
            .unwrap();
        assert_eq!(
            (zero.report.stop, x_of(&zero)),
            (StopReason::Singular, vec![0.0; 4])
        );
        let refused = DirectConfig::new()
            .with_method(DirectMethod::BunchKaufman)
            .init()
            .unwrap();
        let refused = refused
            .solve(&Diagonal::new(rhs.zeros_like()), &rhs)
            .unwrap_err();
        assert_eq!(
            refused,
            Error::Solver(SolverError::Factorisation {
                method: Method::BunchKaufman
            })
        );
    }
}

pub fn direct_many_and_limits<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let rows = with_spectrum(&logarithmic(1.0, 30.0, 9), 2);
    let all: Vec<Vec<f64>> = (0..4).map(|seed| Numbers(seed).normals(9)).collect();
    let rhs: Vec<_> = all.iter().map(|b| flat::<B>(b, precision)).collect();
    let counted = operator(&rows, &rhs[0]).counted();
    let solver: Direct = DirectConfig::new().init().unwrap();
    let solutions = solver.solve_many(&counted, &rhs).unwrap();
    assert_eq!((solutions.len(), counted.applications()), (4, 9 + 4));
    for (solution, b) in solutions.iter().zip(&all) {
        assert_close(
            &x_of(solution),
            &solve(&rows, b),
            2000.0 * precision.epsilon(),
        );
        assert_eq!(solution.report.applications, 10);
    }
    assert!(solver.solve_many(&counted, &[]).unwrap().is_empty());
    let zero = solver.solve(&counted, &rhs[0].zeros_like()).unwrap();
    assert_eq!(
        (x_of(&zero), zero.report.relative_residual),
        (vec![0.0; 9], 0.0)
    );

    let small = DirectConfig::new().with_max_size(8).init().unwrap();
    let refused = small.solve(&counted, &rhs[0]).unwrap_err();
    assert_eq!(
        refused,
        Error::Operator(OperatorError::TooLarge {
            rows: 9,
            columns: 9,
            limit: 8
        })
    );
    let mut lopsided = rows.clone();
    lopsided[0][5] += 1.0;
    let lopsided = burn_curvature::Dense::new(&matrix(&lopsided), &rhs[0]).unwrap();
    let refused = solver
        .solve(&lopsided.assume_self_adjoint().unwrap(), &rhs[0])
        .unwrap_err();
    assert!(matches!(
        refused,
        Error::Operator(OperatorError::NotSymmetric { .. })
    ));
}

/// Solvers behind the trait, operators behind `dyn`.
pub fn as_trait_objects<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let b = flat::<B>(&[2.0, 4.0], precision);
    let solvers: Vec<Box<dyn LinearSolver<B>>> = vec![
        Box::new(ConjugateGradientConfig::new().init().unwrap()),
        Box::new(DirectConfig::new().init().unwrap()),
    ];
    let boxed: Box<dyn burn_curvature::SelfAdjoint<B>> =
        Box::new(Identity::<B>::new(b.layout()).scaled(2.0).unwrap());
    for solver in &solvers {
        let solution = solver.solve(&boxed, &b).unwrap();
        assert!(solution.report.stop.is_success());
        assert_close(&x_of(&solution), &[1.0, 2.0], 1e-6);
    }
}
