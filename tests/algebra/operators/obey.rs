//! What every operator must obey, judged by the matrix it should be.

use crate::failure::failure;
use burn_curvature::{
    Adjoint, LinearOperator, ParamLayout, SelfAdjoint,
    errors::VectorError,
    materialize,
    operator::{Diagonal, check_adjoint, check_operator, check_self_adjoint},
};

use crate::{
    TestBackend, assert_close,
    dense::{Rows, dot, multiply, transposed},
    flat, on,
    random::SplitMix64,
};

pub(super) fn combined(a: &Rows, b: &Rows, f: impl Fn(f64, f64) -> f64) -> Rows {
    let rows = a.iter().zip(b);
    rows.map(|(a, b)| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()).collect()
}

pub(super) fn diagonal_matrix(values: &[f64]) -> Rows {
    let n = values.len();
    let entry = |i: usize, j: usize| if i == j { values[i] } else { 0.0 };
    (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
}

/// The operator is the matrix: as a whole, one vector at a time and several; linear, deterministic, and particular
/// about layouts.
#[track_caller]
pub(super) fn obeys<B: TestBackend>(operator: &dyn LinearOperator<B>, matrix: &Rows) {
    let space = operator.domain();
    let rounding = 30.0 * space.precision().epsilon();
    let found = materialize(operator).unwrap();
    assert_eq!((found.rows(), found.columns()), (matrix.len(), matrix[0].len()));
    assert_close(found.values(), &matrix.concat(), rounding);
    let columns = matrix[0].len();
    let all: Vec<Vec<f64>> = (7..10).map(|seed| SplitMix64::new(seed).normals(columns)).collect();
    let vectors: Vec<_> = all.iter().map(|x| space.vector(x).unwrap()).collect();
    let many = operator.apply_many(&vectors).unwrap();
    assert_eq!(many.len(), 3);
    let largest = matrix.iter().flatten().fold(0.0f64, |m, a| m.max(a.abs()));
    for ((x, vector), many) in all.iter().zip(&vectors).zip(&many) {
        let expected = multiply(matrix, x);
        let single = operator.apply(vector).unwrap();
        assert_eq!(single.space(), operator.codomain());
        for found in [&single, many] {
            let found = found.to_vec().unwrap();
            let pairs = found.iter().zip(&expected);
            let worst = pairs.fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst <= rounding * largest * columns as f64, "{worst:e}");
        }
    }
    assert!(operator.apply_many(&[]).unwrap().is_empty());
    check_operator(operator, 3).unwrap();
    let longer = flat::<B>(&vec![1.0; columns + 1], space.precision());
    let mixed = [vectors[0].clone(), longer.clone()];
    for refused in [operator.apply(&longer).map(|_| ()), operator.apply_many(&mixed).map(|_| ())] {
        assert!(matches!(failure(&refused), Some(VectorError::LayoutMismatch { .. })));
    }
}

/// The operator is the matrix, and its transpose the transposed one.
#[track_caller]
pub(super) fn obeys_with_adjoint<B: TestBackend, A: Adjoint<B>>(operator: A, matrix: &Rows) {
    obeys(&operator, matrix);
    check_adjoint(&operator, 5).unwrap();
    let x = SplitMix64::new(21).normals(matrix[0].len());
    let u = SplitMix64::new(22).normals(matrix.len());
    let v = operator.domain().vector(&x).unwrap();
    let w = operator.codomain().vector(&u).unwrap();
    let left = w.dot(&operator.apply(&v).unwrap()).unwrap();
    let right = operator.apply_adjoint(&w).unwrap().dot(&v).unwrap();
    let expected = dot(&u, &multiply(matrix, &x));
    let largest = matrix.iter().flatten().fold(1.0f64, |m, a| m.max(a.abs()));
    let rounding = 1e3 * v.precision().epsilon() * largest;
    assert!((left - expected).abs() <= rounding && (right - expected).abs() <= rounding);
    obeys(&operator.transposed(), &transposed(matrix));
}

/// The operator is the symmetric matrix.
#[track_caller]
pub(super) fn obeys_symmetric<B: TestBackend>(operator: &dyn SelfAdjoint<B>, matrix: &Rows) {
    obeys(&operator, matrix);
    check_self_adjoint(operator, 4).unwrap();
    assert_close(&transposed(matrix).concat(), &matrix.concat(), 1e-14);
}

/// A v and vᵀA v computed together equal A v and the host's sum, over few entries and over many.
fn quadratic_forms<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for (n, seed) in [(1, 1), (7, 2), (200_003, 3)] {
            let layout = ParamLayout::from_shapes([("w", vec![n]), ("b", vec![3])]).unwrap();
            let mut numbers = SplitMix64::new(seed);
            let v = numbers.normals(n + 3);
            let d = numbers.normals(n + 3);
            let x = on::<B>(&layout, &v, precision);
            let diagonal = Diagonal::new(on::<B>(&layout, &d, precision)).unwrap();
            let damped: Box<dyn SelfAdjoint<B>> =
                Box::new((&diagonal).damped(0.5).unwrap().damped(0.0).unwrap());
            let plain: &dyn SelfAdjoint<B> = &diagonal;
            for (operator, damping) in [(plain, 0.0), (&damped, 0.5)] {
                let (product, form) = operator.apply_with_quadratic_form(&x).unwrap();
                let alone = operator.apply(&x).unwrap().to_vec().unwrap();
                assert_eq!(product.to_vec().unwrap(), alone);
                let terms = v.iter().zip(&d).map(|(v, d)| (d + damping) * v * v);
                let expected: f64 = terms.clone().sum();
                let size: f64 = terms.map(f64::abs).sum();
                let error = (form.read().unwrap() - expected).abs() / size;
                let rounding = (n as f64).sqrt() * precision.epsilon();
                assert!(error <= 8.0 * rounding, "{n} {damping} {error:e}");
            }
        }
    }
}
on_backends!(quadratic_forms: ndarray, flex, dispatch);
