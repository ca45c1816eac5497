//! Columns of matrices that are given by products.

use burn::prelude::*;
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, Hessian, LinearOperator, Objective, Reduction, materialize,
    operator::{Counted, DenseMatrix, OperatorError},
};

use crate::{B, Classifier, Samples, cross_entropy, samples};

/// A classifier on batches of several sizes.
pub(super) fn data_set() -> Objective<B> {
    let device = Device::flex().autodiff();
    let model = Classifier::new(8, &device);
    let (x, y) = samples(10, 77, &device);
    let batch = |range: std::ops::Range<usize>| -> Samples {
        (x.clone().slice([range.clone()]), y.clone().slice([range]))
    };
    let config = CaptureConfig::new();
    let objective = Objective::capture_with(&config, &model, batch(0..4), cross_entropy).unwrap();
    let objective = objective.in_f64().unwrap();
    objective.over([batch(0..4), batch(4..8), batch(8..10)], Reduction::Mean).unwrap()
}

/// Some columns of an operator against its products with units.
pub(super) fn columns<B: AutodiffBackend>(
    name: &str,
    operator: &impl LinearOperator<B>,
    limit: f64,
) {
    let space = operator.domain();
    let n = space.len();
    let mut unit = vec![0.0; n];
    let size = operator.apply(&space.ones()).unwrap().largest().unwrap();
    let blocks = space.layout().blocks();
    let some = blocks.iter().rev().step_by(blocks.len().div_ceil(3));
    for end in some.map(|block| block.range().end) {
        let positions = end.saturating_sub(2)..n.min(end + 1);
        let found = operator.columns(positions.clone()).unwrap();
        assert_eq!((found.rows(), found.columns()), (n, positions.len()));
        for (column, position) in positions.enumerate() {
            unit[position] = 1.0;
            let expected = operator.apply(&space.vector(&unit).unwrap()).unwrap();
            unit[position] = 0.0;
            let entries = found.values().iter().skip(column).step_by(found.columns());
            let entries: Vec<f64> = entries.copied().collect();
            let found = space.vector(&entries).unwrap();
            let error = found.axpy(-1.0, &expected).unwrap().largest().unwrap();
            let allowed = limit * (size + expected.largest().unwrap());
            assert!(error <= allowed, "{name}, column {position}: {error:e}");
        }
    }
}

/// All products of an objective that returns its outputs.
pub(super) fn difference(a: &DenseMatrix, b: &DenseMatrix) -> f64 {
    let entries = a.values().iter().zip(b.values());
    entries.fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs()))
}

/// All columns of a matrix are the columns one by one; every product is counted.
#[test]
fn a_materialized_matrix_is_that_of_single_products() {
    let objective = data_set();
    let hessian = Hessian::new(&objective).unwrap();
    let counted: Counted<_> = hessian.clone().counted();
    let matrix = materialize(&counted).unwrap();
    let n = matrix.columns();
    assert_eq!(counted.applications(), n);
    let space = objective.parameters().space();
    for column in 0..n {
        let unit: Vec<f64> = (0..n).map(|row| f64::from(u8::from(row == column))).collect();
        let single = hessian.apply(&space.vector(&unit).unwrap()).unwrap().to_vec().unwrap();
        for (row, entry) in single.into_iter().enumerate() {
            assert!((matrix.entry(row, column).unwrap() - entry).abs() < 1e-13);
        }
    }
}

/// What operators around a curvature matrix make of its columns.
#[test]
fn columns_go_through_compositions() {
    let objective = data_set();
    let hessian = Hessian::new(&objective).unwrap();
    let layout = objective.layout().clone();
    let last = layout.blocks().last().unwrap().name().to_string();
    let first = layout.blocks().first().unwrap().name().to_string();
    let subset = layout.select_by(|block| [&*first, &*last].contains(&block.name())).unwrap();
    let diagonal: Vec<f64> = (0..layout.len()).map(|place| 0.1 * place as f64).collect();
    let diagonal = objective.parameters().space().vector(&diagonal).unwrap();
    columns("a reference", &&hessian, 1e-13);
    columns("scaled", &(&hessian).scaled(-0.3).unwrap(), 1e-13);
    columns("damped", &(&hessian).damped(0.7).unwrap(), 1e-13);
    columns("by a diagonal", &(&hessian).damped_by(diagonal).unwrap(), 1e-13);
    let by_block = (&hessian).damped_per_block(0.1, &[(&last, 2.0)]).unwrap();
    columns("per block", &by_block, 1e-13);
    columns("restricted", &(&hessian).restricted(subset.clone()).unwrap(), 1e-13);
    let nested = (&hessian).damped(0.7).unwrap().restricted(subset).unwrap().scaled(2.0).unwrap();
    columns("nested", &nested.assume_self_adjoint().unwrap(), 1e-13);
}

#[test]
fn columns_that_are_not_there_are_refused() {
    let objective = data_set();
    let hessian = Hessian::new(&objective).unwrap();
    let n = objective.layout().len();
    let subset = objective.layout().select_by(|block| block.range().start == 0).unwrap();
    let restricted = (&hessian).restricted(subset).unwrap();
    for positions in [0..0, n..n + 1, n - 1..n + 1, 5..5] {
        let operators: [&dyn LinearOperator<B>; 2] = [&hessian, &restricted];
        for operator in operators {
            let error = operator.columns(positions.clone()).unwrap_err();
            let found = error.downcast_ref::<OperatorError>();
            assert!(matches!(found, Some(OperatorError::NoSuchColumns { .. })), "{error}");
        }
    }
}
