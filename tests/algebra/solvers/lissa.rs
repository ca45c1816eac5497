//! LiSSA against the exact solve of dense finite sums: its mean, its scatter, what it warns of.

use burn_curvature::{
    FiniteSum, LinearOperator, ParamVector, Precision, Solution, SolveOptions, SolveReport,
    StopReason,
    operator::{LowRank, Mean, SymmetricDense},
    solver::{Lissa, LissaConfig, MethodDetail},
};

use super::{check_report, operator, x_of};
use crate::{
    TestBackend, assert_close,
    dense::{Rows, dot, multiply},
    flat,
    oracle::{logarithmic, matrix, solve, with_spectrum},
    random::SplitMix64,
    relative_error,
};

pub(super) const N: usize = 6;

/// Random positive semidefinite terms vᵢvᵢᵀ (‖vᵢ‖² around 1), and their mean plus damping.
pub(super) struct Problem {
    vectors: Vec<Vec<f64>>,
    pub(super) rows: Rows,
    pub(super) b: Vec<f64>,
    exact: Vec<f64>,
}

impl Problem {
    const DAMPING: f64 = 0.2;

    pub(super) fn new(seed: u64) -> Self {
        let mut numbers = SplitMix64::new(seed);
        let mut draw = || -> Vec<f64> {
            let v = numbers.normals(N);
            v.iter().map(|v| v / (N as f64).sqrt()).collect()
        };
        let vectors: Vec<Vec<f64>> = (0..12).map(|_| draw()).collect();
        let entry = |i: usize, j: usize| {
            let sum: f64 = vectors.iter().map(|v| v[i] * v[j]).sum();
            sum / 12.0 + if i == j { Self::DAMPING } else { 0.0 }
        };
        let rows: Rows = (0..N).map(|i| (0..N).map(|j| entry(i, j)).collect()).collect();
        let b = SplitMix64::new(seed + 99).normals(N);
        let exact = solve(&rows, &b);
        Self { vectors, rows, b, exact }
    }

    pub(super) fn operator<B: TestBackend>(
        &self,
        precision: Precision,
    ) -> (LowRank<B>, ParamVector<B>) {
        let rhs = flat::<B>(&self.b, precision);
        let vectors: Vec<_> = self.vectors.iter().map(|v| rhs.space().vector(v).unwrap()).collect();
        let mean = LowRank::mean_of(&vectors).unwrap();
        (mean.with_damping(Self::DAMPING).unwrap(), rhs)
    }

    fn square_error<B: TestBackend>(&self, solution: &Solution<B>) -> f64 {
        let x = x_of(solution);
        let d: Vec<f64> = x.iter().zip(&self.exact).map(|(x, e)| x - e).collect();
        dot(&d, &d)
    }
}

pub(super) fn lissa(scale: f64, depth: usize, repeats: usize, seed: u64) -> Lissa {
    let config = LissaConfig::new().with_scale(Some(scale)).with_depth(depth);
    config.with_repeats(repeats).with_seed(seed).init().unwrap()
}

fn standard_error(report: &SolveReport) -> f64 {
    match report.detail {
        Some(MethodDetail::Lissa { standard_error, .. }) => standard_error.unwrap(),
        _ => panic!("no detail of LiSSA: {report}"),
    }
}

/// Unbiased once it is deep enough; the standard error is what the error is; both fall as 1/√repeats.
fn lissa_scatter<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let runs = 24;
    let mut quarter = Vec::new();
    for repeats in [3, 12] {
        let (mut errors, mut estimates, mut bias) = (0.0, 0.0, vec![0.0; N]);
        let problem = Problem::new(5);
        let (operator, rhs) = problem.operator::<B>(precision);
        for seed in 0..runs {
            let solver = lissa(10.0, 400, repeats, seed); // 8 time constants
            let solution = solver.solve(&operator, &rhs).unwrap();
            assert_eq!(solution.report.stop, StopReason::Sampled);
            errors += problem.square_error(&solution) / runs as f64;
            estimates += standard_error(&solution.report).powi(2) / runs as f64;
            let pairs = x_of(&solution).into_iter().zip(&problem.exact);
            bias.iter_mut().zip(pairs).for_each(|(bias, (x, e))| *bias += (x - e) / runs as f64);
            check_report(&solution.report, &problem.rows, &x_of(&solution), &problem.b);
        }
        let calibration = errors / estimates;
        assert!((0.5..=2.0).contains(&calibration), "{errors:e} against {estimates:e}");
        // The mean over all runs is closer by √runs.
        assert!(dot(&bias, &bias) < 4.0 * errors / runs as f64, "{bias:?}");
        quarter.push(errors);
    }
    let ratio = quarter[0] / quarter[1];
    assert!((2.0..=8.0).contains(&ratio), "four times the repeats: {ratio}");
}
on_backends!(lissa_scatter: ndarray, flex, dispatch);

/// Several problems, f32 and f64: within some standard errors of the exact solution, and the damping means λI.
fn lissa_solves<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..4 {
            let problem = Problem::new(seed);
            let (operator, rhs) = problem.operator::<B>(precision);
            let counted = operator.counted();
            let solution = lissa(8.0, 320, 8, seed).solve(&counted, &rhs).unwrap();
            let report = &solution.report;
            assert_eq!(report.stop, StopReason::Sampled, "{report}");
            let error = problem.square_error(&solution).sqrt();
            assert!(error <= 3.0 * standard_error(report), "{error:e} {report}");
            assert!(error <= 0.3 * dot(&problem.exact, &problem.exact).sqrt());
            assert_eq!((report.iterations, report.applications), (320 * 8, 1));
            assert_eq!((counted.applications(), counted.term_applications()), (1, 320 * 8));
            check_report(report, &problem.rows, &x_of(&solution), &problem.b);
            // Not (A + scale·λI)⁻¹, as some codes have it.
            let mut other = problem.rows.clone();
            (0..N).for_each(|i| other[i][i] += 7.0 * Problem::DAMPING);
            assert!(relative_error(&x_of(&solution), &solve(&other, &problem.b)) > 0.5);
            // The same seed gives the same values; another seed gives others.
            let again = lissa(8.0, 320, 8, seed).solve(&counted, &rhs).unwrap();
            assert_eq!(x_of(&again), x_of(&solution));
            let other = lissa(8.0, 320, 8, seed + 1).solve(&counted, &rhs).unwrap();
            assert_ne!(x_of(&other), x_of(&solution));
            // A scale of its own.
            let chosen = LissaConfig::new().with_depth(400).init().unwrap();
            let solution = chosen.solve(&counted, &rhs).unwrap();
            let Some(MethodDetail::Lissa { scale, term_products, .. }) = solution.report.detail
            else {
                panic!("{}", solution.report)
            };
            let of = |v: &Vec<f64>| dot(v, v) + Problem::DAMPING;
            let largest = problem.vectors.iter().map(of).fold(0.0, f64::max);
            assert!(scale > 0.4 * largest && scale < 1.5 * largest, "{scale} {largest}");
            assert!(term_products > 1600);
            assert_eq!(solution.report.stop, StopReason::Sampled, "{}", solution.report);
            assert!(
                problem.square_error(&solution).sqrt() <= 4.0 * standard_error(&solution.report)
            );
        }
    }
}
on_backends!(lissa_solves: ndarray, flex, dispatch);

/// One term leaves nothing to chance: x = A⁻¹b − (I − A/c)ᵈ(A⁻¹b − b/c), and the error falls with the depth as that says.
fn lissa_depth<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&logarithmic(0.2, 4.0, N), 3);
        let b = SplitMix64::new(4).normals(N);
        let exact = solve(&rows, &b);
        let rhs = flat::<B>(&b, precision);
        let mean = || Mean::new::<B>(vec![operator(&rows, rhs.space())]).unwrap();
        let scale = 5.0;
        let mut last = f64::INFINITY;
        for depth in [1, 10, 40, 160] {
            let mut rest: Vec<f64> = exact.iter().zip(&b).map(|(e, b)| e - b / scale).collect();
            for _ in 0..depth {
                let product = multiply(&rows, &rest);
                rest = rest.iter().zip(&product).map(|(r, p)| r - p / scale).collect();
            }
            let expected: Vec<f64> = exact.iter().zip(&rest).map(|(e, r)| e - r).collect();
            let solution = lissa(scale, depth, 2, 0).solve(&mean(), &rhs).unwrap();
            assert_eq!(solution.report.stop, StopReason::Sampled, "λmin is not known");
            assert_close(&x_of(&solution), &expected, 300.0 * precision.epsilon());
            assert!(standard_error(&solution.report) <= 1e-5);
            let error = relative_error(&x_of(&solution), &exact);
            assert!(error < last);
            last = error;
        }
        // From a guess: (I − A/c)ᵈ of its error is left.
        let options = SolveOptions::new().with_initial_guess(rhs.space().vector(&exact).unwrap());
        let solution = lissa(scale, 3, 1, 0).solve_with(&mean(), &rhs, options).unwrap();
        assert_close(&x_of(&solution), &exact, 300.0 * precision.epsilon());
    }
}
on_backends!(lissa_depth: ndarray, flex, dispatch);

/// Too short for the damping, or for the λmin that is given: said, with a depth that is enough.
fn lissa_warns<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let problem = Problem::new(1);
    let (operator, rhs) = problem.operator::<B>(precision);
    let report = lissa(10.0, 50, 2, 0).solve(&operator, &rhs).unwrap().report; // 50·0.2/10 = 1
    assert_eq!(report.stop, StopReason::UnderConverged);
    assert!(!report.stop.is_success());
    assert!(report.advice().contains("raise `depth` to 150 or more"), "{report}");
    let report = lissa(10.0, 150, 2, 0).solve(&operator, &rhs).unwrap().report;
    assert_eq!(report.stop, StopReason::Sampled, "{report}");
    let config = LissaConfig::new().with_scale(Some(10.0)).with_depth(150);
    let strict = config.with_smallest(Some(0.1)).init().unwrap();
    let report = strict.solve(&operator, &rhs).unwrap().report;
    assert_eq!(report.stop, StopReason::UnderConverged, "{report}");
    // Damping around the operator counts as well.
    let damped = (&operator).damped(0.2).unwrap();
    assert!((FiniteSum::<B>::damping(&damped) - 0.4).abs() < 1e-12);
    let report = lissa(10.0, 80, 2, 0).solve(&damped, &rhs).unwrap().report;
    assert_eq!(report.stop, StopReason::Sampled, "{report}");
    let single = lissa(10.0, 150, 1, 0).solve(&operator, &rhs).unwrap().report;
    assert!(matches!(
        single.detail,
        Some(MethodDetail::Lissa { standard_error: None, repeats: 1, .. })
    ));
}
on_backends!(lissa_warns: ndarray, flex, dispatch);

/// Terms that the scale does not hold, and indefinite ones: stopped early, with finite values.
fn lissa_diverges<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let b = SplitMix64::new(2).normals(N);
        let rhs = flat::<B>(&b, precision);
        let large = with_spectrum(&[0.1, 1.0, 2.0, 3.0, 5.0, 50.0], 1);
        let negative = with_spectrum(&[-2.0, 1.0, 2.0, 3.0, 5.0, 1.0], 1);
        for (rows, scale, largest) in [(large.clone(), 10.0, 50.0), (negative, 10.0, 5.0)] {
            let term = SymmetricDense::new(&matrix(&rows), rhs.space()).unwrap();
            let mean = Mean::new::<B>(vec![term]).unwrap().counted();
            let solution = lissa(scale, 5000, 3, 0).solve(&mean, &rhs).unwrap();
            let report = &solution.report;
            assert_eq!(report.stop, StopReason::Diverged, "{report}");
            assert!(report.iterations <= 256, "early: {report}");
            let Some(MethodDetail::Lissa { largest: Some(seen), .. }) = report.detail else {
                panic!("{report}")
            };
            assert!(seen <= largest * 1.001 && seen > 0.3 * largest, "{seen}");
            check_report(report, &rows, &x_of(&solution), &b);
            assert!(report.advice().contains("raise the scale"));
        }
        // So far beyond that the format overflows between two looks.
        let term = SymmetricDense::new(&matrix(&large), rhs.space()).unwrap();
        let mean = Mean::new::<B>(vec![term]).unwrap();
        let report = lissa(1e-20, 100, 1, 0).solve(&mean, &rhs).unwrap().report;
        assert_eq!(report.stop, StopReason::Diverged);
    }
}
on_backends!(lissa_diverges: ndarray, flex, dispatch);
