//! Solvers: against a dense solve in f64, closed forms and laws; every stop reason and every bad input.

mod contracts;
mod convergence;
mod converging;
mod direct;
mod indefinite;
mod inverses;
mod jacobi;
mod lissa;
mod lissa_edges;
mod low_rank;
mod many;
mod minres;
mod minres_singular;
mod minres_stopping;
mod neumann;
mod neumann_edges;
mod nystrom;
mod over_data;
mod region;
mod scales;
mod stopping;

use burn_curvature::{
    ConjugateGradientConfig, MinresConfig, ParamSpace, Precision, Solution, SolveReport,
    operator::SymmetricDense,
};

use crate::{
    TestBackend,
    dense::{Rows, dot, multiply},
    oracle::matrix,
};

pub(super) fn conjugate_gradient(tolerance: f64) -> ConjugateGradientConfig {
    ConjugateGradientConfig::new().with_relative_tolerance(tolerance)
}

pub(super) fn minimum_residual(tolerance: f64) -> MinresConfig {
    MinresConfig::new().with_relative_tolerance(tolerance)
}

pub(super) fn operator<B: TestBackend>(rows: &Rows, space: &ParamSpace<B>) -> SymmetricDense<B> {
    SymmetricDense::new(&matrix(rows), space).unwrap()
}

pub(super) fn x_of<B: TestBackend>(solution: &Solution<B>) -> Vec<f64> {
    solution.x.to_vec().unwrap()
}

/// The smallest tolerance that is worth asking for.
pub(super) fn tight(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::F64 => 1e-12,
    }
}

/// ‖b − A x‖ in f64 for the matrix and the values as they are.
pub(super) fn residual(rows: &Rows, x: &[f64], b: &[f64]) -> f64 {
    let product = multiply(rows, x);
    let r: Vec<f64> = b.iter().zip(&product).map(|(b, p)| b - p).collect();
    dot(&r, &r).sqrt()
}

/// The report keeps to its definition, whatever happened.
pub(super) fn check_report(report: &SolveReport, rows: &Rows, x: &[f64], b: &[f64]) {
    let norm = dot(b, b).sqrt();
    let scale = norm + rows.iter().flatten().fold(0.0f64, |m, a| m.max(a.abs())) * dot(x, x).sqrt();
    let rounding = 50.0 * report.precision.epsilon() * scale;
    assert!((report.true_residual - residual(rows, x, b)).abs() <= rounding, "{report}");
    assert!((report.rhs_norm - norm).abs() <= rounding);
    assert!((report.relative_residual * norm - report.true_residual).abs() <= rounding);
    let text = report.to_string();
    let advice = text.lines().last().unwrap();
    assert_eq!(advice, report.advice());
    assert!(advice.ends_with('.') && !advice.contains(". "), "one sentence: {advice}");
    let json = serde_json::to_string(report).unwrap();
    let back: SolveReport = serde_json::from_str(&json).unwrap();
    assert!(
        same(&serde_json::to_value(back).unwrap(), &serde_json::to_value(report).unwrap()),
        "{json}"
    );
}

/// Equal, but for the last digit that serde_json loses of a float.
pub fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    match (a.as_object(), b.as_object(), a.as_f64(), b.as_f64()) {
        (Some(a), Some(b), ..) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (_, _, Some(a), Some(b)) => (a - b).abs() <= 1e-15 * b.abs(),
        _ => a == b,
    }
}

pub(super) const INDEFINITE: [f64; 10] = [6.0, -5.0, 2.0, 7.0, -1.0, 10.0, 4.0, -3.0, -8.0, 9.0];

pub(super) fn diagonal_rows(values: &[f64]) -> Rows {
    (0..values.len())
        .map(|i| (0..values.len()).map(|j| if i == j { values[i] } else { 0.0 }).collect())
        .collect()
}
