//! Low rank plus diagonal, and its exact inverse.

use crate::failure::failure;
use burn_curvature::{
    LinearOperator, Precision,
    errors::{OperatorError, VectorError},
    materialize,
    operator::LowRank,
};

use super::{
    layout,
    obey::{combined, diagonal_matrix, obeys_symmetric, obeys_with_adjoint},
    operator_error,
};
use crate::{
    TestBackend, assert_close,
    dense::{Rows, product},
    flat, flat_space,
    oracle::solve,
    random::SplitMix64,
    space_of,
};

fn outer_sum(vectors: &[Vec<f64>], coefficients: &[f64]) -> Rows {
    let n = vectors[0].len();
    let entry = |i: usize, j: usize| {
        let terms = vectors.iter().zip(coefficients);
        terms.map(|(v, c)| c * (v[i] * v[j])).sum()
    };
    (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
}

/// The inverse column by column.
fn inverse_of(rows: &Rows) -> Rows {
    let n = rows.len();
    let columns: Vec<Vec<f64>> =
        diagonal_matrix(&vec![1.0; n]).iter().map(|unit| solve(rows, unit)).collect();
    let entry = |i: usize, j: usize| 0.5 * (columns[j][i] + columns[i][j]);
    (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
}

/// Fewer and more vectors than entries; coefficients of either sign and zero; every kind of diagonal.
fn low_rank<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let space = space_of::<B>(&layout(), precision);
        let cases: [&[f64]; 4] = [
            &[1.5],
            &[0.5, 2.0, 0.0],
            &[0.3, -0.02, 0.1],
            &[0.1, 0.4, 0.2, 0.3, 0.5, 0.1, 0.2, 0.7, 1.0],
        ];
        for (seed, coefficients) in cases.into_iter().enumerate() {
            let draw = |i: usize| SplitMix64::new(100 * seed as u64 + i as u64).normals(7);
            let vectors: Vec<Vec<f64>> = (0..coefficients.len()).map(draw).collect();
            let on_device: Vec<_> = vectors.iter().map(|v| space.vector(v).unwrap()).collect();
            let plain = LowRank::new(&on_device, coefficients).unwrap();
            assert_eq!((plain.rank(), plain.coefficients()), (coefficients.len(), coefficients));
            let back = plain.vectors().unwrap();
            assert_close(&back[0].to_vec().unwrap(), &vectors[0], precision.epsilon());
            let sum = outer_sum(&vectors, coefficients);
            obeys_with_adjoint(&plain, &sum);
            let d: Vec<f64> = SplitMix64::new(8).normals(7).iter().map(|d| 0.5 + d * d).collect();
            let weights = space.vector(&d).unwrap();
            let cases = [
                (vec![0.4; 7], plain.clone().with_damping(0.4).unwrap()),
                (d, plain.with_diagonal(weights).unwrap()),
            ];
            for (d, operator) in cases {
                let whole = combined(&sum, &diagonal_matrix(&d), |a, d| a + d);
                obeys_symmetric(&operator, &whole);
                let inverse = operator.inverse().unwrap();
                let found = materialize(&inverse).unwrap();
                let exact = inverse_of(&whole);
                assert_close(found.values(), &exact.concat(), 500.0 * precision.epsilon());
                let twice = materialize(&inverse.inverse().unwrap()).unwrap();
                assert_close(twice.values(), &whole.concat(), 1e4 * precision.epsilon());
            }
        }
        let same = vec![space.ones(); 4];
        let mean = LowRank::mean_of(&same).unwrap();
        obeys_symmetric(&mean, &vec![vec![1.0; 7]; 7]);
    }
}
on_backends!(low_rank: ndarray, flex, dispatch);

/// Damping far below the low rank: the inverse is as good as the condition number lets it be.
fn low_rank_ill_conditioned<B: TestBackend>() {
    for seed in 0..3 {
        let n = 20;
        let vectors: Vec<Vec<f64>> =
            (0..5).map(|i| SplitMix64::new(seed + 10 * i).normals(n)).collect();
        let space = flat_space::<B>(n, Precision::F64);
        let on_device: Vec<_> = vectors.iter().map(|v| space.vector(v).unwrap()).collect();
        let operator = LowRank::new(&on_device, &[1.0; 5]).unwrap();
        let operator = operator.with_damping(1e-6).unwrap(); // κ ≈ 5e7
        let inverse = materialize(&operator.inverse().unwrap()).unwrap();
        let rows: Rows = inverse.values().chunks(n).map(<[f64]>::to_vec).collect();
        let damping = diagonal_matrix(&vec![1e-6; n]);
        let whole = combined(&outer_sum(&vectors, &[1.0; 5]), &damping, |a, d| a + d);
        let identity = product(&whole, &rows);
        assert_close(&identity.concat(), &diagonal_matrix(&vec![1.0; n]).concat(), 1e-7);
    }
}
on_backends!(low_rank_ill_conditioned: ndarray, flex, dispatch);

fn low_rank_refusals<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let v = flat::<B>(&[1.0, 2.0, 2.0], precision);
    let make =
        |coefficients: &[f64]| LowRank::new(&vec![v.clone(); coefficients.len()], coefficients);
    assert_eq!(operator_error(make(&[])), OperatorError::Nothing);
    assert_eq!(
        operator_error(LowRank::new(std::slice::from_ref(&v), &[1.0, 2.0])),
        OperatorError::CoefficientCount { vectors: 1, coefficients: 2 }
    );
    assert!(matches!(operator_error(make(&[f64::NAN])), OperatorError::Factor { .. }));
    let poison = v.space().vector(&[1.0, f64::NAN, 0.0]).unwrap();
    assert!(matches!(
        failure(&LowRank::new(&[v.clone(), poison.clone()], &[1.0, 1.0])),
        Some(VectorError::NonFinite { .. })
    ));
    let longer = flat::<B>(&[1.0; 4], precision);
    assert!(matches!(
        failure(&LowRank::new(&[v.clone(), longer.clone()], &[1.0, 1.0])),
        Some(VectorError::LayoutMismatch { .. })
    ));
    let one = || make(&[1.0]).unwrap();
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(operator_error(one().with_damping(bad)), OperatorError::Damping { .. }));
    }
    assert!(one().with_diagonal(poison).is_err());
    assert!(one().with_diagonal(longer).is_err());
    // No diagonal, a zero on it, a number below zero: no inverse.
    let mixed = v.space().vector(&[1.0, 0.0, 1.0]).unwrap();
    let negative = v.space().vector(&[1.0, -2.0, 1.0]).unwrap();
    for (operator, at_fault) in [
        (one(), 0.0),
        (one().with_damping(0.0).unwrap(), 0.0),
        (one().with_diagonal(mixed).unwrap(), 0.0),
        (one().with_diagonal(negative).unwrap(), -2.0),
    ] {
        assert_eq!(
            operator_error(operator.inverse()),
            OperatorError::NotInvertible { found: at_fault }
        );
    }
    // I − v vᵀ/9 with ‖v‖² = 9 is singular.
    let singular = make(&[-1.0 / 9.0]).unwrap().with_damping(1.0).unwrap();
    assert!(matches!(
        operator_error(singular.inverse()),
        OperatorError::NotInvertible { found } if found.abs() < 1e-6
    ));
    let regular = make(&[-1.0 / 18.0]).unwrap().with_damping(1.0).unwrap();
    let x = regular.inverse().unwrap().apply(&v).unwrap().to_vec().unwrap();
    assert_close(&x, &[2.0, 4.0, 4.0], 1e-5);
}
on_backends!(low_rank_refusals: ndarray, flex, dispatch);

/// A⁻¹A v = v to the condition number of A, in f64.
fn inverts<B: TestBackend>(vectors: &[Vec<f64>], coefficients: &[f64], damping: f64) {
    let n = vectors[0].len();
    let space = flat_space::<B>(n, Precision::F64);
    let on_device: Vec<_> = vectors.iter().map(|v| space.vector(v).unwrap()).collect();
    let operator = LowRank::new(&on_device, coefficients).unwrap();
    let operator = operator.with_damping(damping).unwrap();
    let eigenvalues = materialize(&operator).unwrap().eigenvalues().unwrap();
    let size = |value: &f64| value.abs();
    let most = eigenvalues.iter().map(size).fold(0.0, f64::max);
    let least = eigenvalues.iter().map(size).fold(f64::INFINITY, f64::min);
    let v = space.normal(3);
    let found = operator.inverse().unwrap().apply(&operator.apply(&v).unwrap()).unwrap();
    let error = found.sub(&v).unwrap().norm().unwrap() / v.norm().unwrap();
    let allowed = 100.0 * Precision::F64.epsilon() * most / least;
    assert!(error <= allowed, "{error:e} > {allowed:e}: {coefficients:?}, damping {damping:e}");
}

/// Where the vectors span the space and outweigh the diagonal, hardly anything is left of its inverse.
fn as_many_vectors_as_elements<B: TestBackend>() {
    for seed in 0..20 {
        for (n, k) in [(1, 1), (2, 6), (4, 4), (4, 9)] {
            let draw = |i: usize| SplitMix64::new(77 * seed + i as u64).normals(n);
            let vectors: Vec<Vec<f64>> = (0..k).map(draw).collect();
            for damping in [1e-3, 1e-12, 1e-60] {
                inverts::<B>(&vectors, &vec![1.0; k], damping);
                let graded: Vec<f64> = (0..k).map(|i| 10f64.powi(2 * (i % 5) as i32)).collect();
                inverts::<B>(&vectors, &graded, damping);
                let mut signs = vec![1.0; k];
                signs[0] = -1.0;
                inverts::<B>(&vectors, &signs, damping);
            }
        }
    }
}
on_backends!(as_many_vectors_as_elements: ndarray, flex, dispatch);

/// Fewer vectors, of very different weights.
fn graded_low_rank<B: TestBackend>() {
    for seed in 0..20 {
        let draw = |i: usize| SplitMix64::new(91 * seed + i as u64).normals(6);
        let vectors: Vec<Vec<f64>> = (0..4).map(draw).collect();
        for coefficients in [[1.0, 1.0, 1.0, 1e10], [1e11, 1e-3, 1e4, 0.0], [1e5, 1e8, 1.0, 1e-9]] {
            inverts::<B>(&vectors, &coefficients, 1.0);
        }
    }
}
on_backends!(graded_low_rank: ndarray, flex, dispatch);

/// What cancels, or leaves the range of the format, is refused.
fn inverses_that_cannot_be_held<B: TestBackend>() {
    let of = |values: &[f64], precision, coefficients: &[f64], damping: f64| {
        let v = flat::<B>(values, precision);
        let operator = LowRank::new(&vec![v; coefficients.len()], coefficients).unwrap();
        operator.with_damping(damping).unwrap().inverse().map(drop)
    };
    let refused = |found: Result<(), _>, story: &str| {
        assert!(
            matches!(failure(&found), Some(OperatorError::NotInvertible { .. })),
            "{story}: {found:?}"
        );
    };
    let double = Precision::F64;
    refused(of(&[1e10, 1e10], double, &[1.0, -1.0], 1e-30), "what is left of a sum");
    let found = of(&[1.0, 1.0], double, &[1e300], 1e-60);
    assert!(matches!(failure(&found), Some(OperatorError::Eigenvalues { .. })), "{found:?}");
    if B::PRECISIONS.contains(&Precision::F32) {
        let single = Precision::F32;
        refused(of(&[1.0, 1.0], single, &[1.0], 1e-60), "a reciprocal in f32");
        refused(of(&[1e-25], single, &[1.0], 0.0), "a reciprocal of a square in f32");
    }
}
on_backends!(inverses_that_cannot_be_held: ndarray, flex, dispatch);
