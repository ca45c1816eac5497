//! Operators: laws, closed forms, and what they refuse.

mod blocks;
mod checks;
mod compositions;
mod finite_sums;
mod low_rank;
mod obey;

use burn::backend::{Autodiff, Flex, NdArray};
use proptest::prelude::*;

use crate::failure::failure;
use burn_curvature::{
    Error, LinearOperator, ParamLayout, ParamVector, Precision, SelfAdjoint,
    errors::{OperatorError, VectorError},
    materialize,
    operator::{
        Damped, Dense, DenseMatrix, Diagonal, FromFn, Identity, Scaled, SymmetricDense,
        materialize_up_to,
    },
};

use crate::{
    TestBackend, assert_close,
    dense::{Rows, dot, multiply},
    flat, flat_space, on,
    oracle::{matrix, solve, with_spectrum},
    random::SplitMix64,
    space_of,
};

pub(super) fn random_rows(n: usize, seed: u64) -> Rows {
    let mut numbers = SplitMix64::new(seed);
    (0..n).map(|_| numbers.normals(n)).collect()
}

pub(super) fn layout() -> std::sync::Arc<ParamLayout> {
    ParamLayout::from_shapes([("w", vec![2, 2]), ("b", vec![3])]).unwrap()
}

pub(super) fn operator_error<T: std::fmt::Debug>(result: Result<T, Error>) -> OperatorError {
    match failure::<_, OperatorError>(&result) {
        Some(error) => error.clone(),
        None => panic!("expected an operator error, got {result:?}"),
    }
}

/// Products against the plain ones, over several blocks and seeds.
fn dense_products<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            let rows = random_rows(7, seed);
            let v = SplitMix64::new(seed + 100).normals(7);
            let x = on::<B>(&layout(), &v, precision);
            let dense = Dense::new(&matrix(&rows), x.space()).unwrap();
            let found = dense.apply(&x).unwrap().to_vec().unwrap();
            assert_close(&found, &multiply(&rows, &v), 10.0 * precision.epsilon());
            assert_eq!(found, dense.apply(&x).unwrap().to_vec().unwrap(), "applied twice");
            let back = materialize(&dense).unwrap();
            assert_close(back.values(), &rows.concat(), precision.epsilon());
        }
    }
}
on_backends!(dense_products: ndarray, flex, dispatch, wgpu);

/// A(αx + y) = αAx + Ay for every composition; ⟨u, Av⟩ = ⟨Au, v⟩ for those that promise it.
fn laws<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let tolerance = 100.0 * precision.epsilon();
    for seed in 0..5 {
        let mut numbers = SplitMix64::new(seed);
        let mut draw = || on::<B>(&layout(), &numbers.normals(7), precision);
        let (x, y, d) = (draw(), draw(), draw());
        let spectrum: Vec<f64> = (0..7).map(|i| f64::from(i) - 2.5).collect();
        let symmetric =
            || SymmetricDense::new(&matrix(&with_spectrum(&spectrum, seed)), x.space()).unwrap();
        let diagonal = || Diagonal::new(d.clone()).unwrap();
        let operators: Vec<Box<dyn SelfAdjoint<B>>> = vec![
            Box::new(Identity::new(x.space()).unwrap()),
            Box::new(symmetric()),
            Box::new(diagonal()),
            Box::new(symmetric().scaled(-2.0).unwrap()),
            Box::new(symmetric().damped(0.7).unwrap()),
            Box::new(symmetric().plus(diagonal()).unwrap()),
            Box::new(symmetric().plus(diagonal()).unwrap().damped(1.0).unwrap().counted()),
        ];
        for operator in &operators {
            let (ax, ay) = (operator.apply(&x).unwrap(), operator.apply(&y).unwrap());
            let together = operator.apply(&y.clone().axpy(1.7, &x).unwrap()).unwrap();
            let apart = ay.clone().axpy(1.7, &ax).unwrap();
            assert_close(&together.to_vec().unwrap(), &apart.to_vec().unwrap(), tolerance);
            let (left, right) = (y.dot(&ax).unwrap(), ay.dot(&x).unwrap());
            assert!((left - right).abs() <= 100.0 * tolerance, "{left} {right}");
        }
    }
}
on_backends!(laws: ndarray, flex, dispatch, wgpu);

/// Compositions against their definition, entry by entry.
fn composition<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let space = space_of::<B>(&layout(), precision);
        let (a, b) = (random_rows(7, 1), random_rows(7, 2));
        let dense = |rows: &Rows| Dense::new(&matrix(rows), &space).unwrap();
        let close = |operator: &dyn LinearOperator<B>, entry: &dyn Fn(usize, usize) -> f64| {
            let found = materialize(operator).unwrap();
            let expected: Vec<f64> = (0..49).map(|k| entry(k / 7, k % 7)).collect();
            assert_close(found.values(), &expected, 4.0 * precision.epsilon());
        };
        let one = |i, j| if i == j { 1.0 } else { 0.0 };
        close(&Identity::new(&space).unwrap(), &|i, j| one(i, j));
        close(&dense(&a).scaled(-3.0).unwrap(), &|i, j| -3.0 * a[i][j]);
        close(&dense(&a).plus(dense(&b)).unwrap(), &|i, j| a[i][j] + b[i][j]);
        close(&dense(&a).damped(0.25).unwrap(), &|i, j| a[i][j] + 0.25 * one(i, j));
        close(&dense(&a).damped(0.0).unwrap(), &|i, j| a[i][j]);
        // By reference, boxed, and twice wrapped.
        let kept = dense(&a);
        close(&(&kept).damped(1.0).unwrap().scaled(2.0).unwrap(), &|i, j| {
            2.0 * (a[i][j] + one(i, j))
        });
        let boxed: Box<dyn LinearOperator<B>> = Box::new(kept);
        close(&boxed.plus(Identity::new(&space).unwrap()).unwrap(), &|i, j| a[i][j] + one(i, j));

        let bias = layout().select("b").unwrap();
        let block = dense(&a).restricted(bias).unwrap();
        let found = materialize(&block).unwrap();
        let expected: Vec<f64> = (0..9).map(|k| a[4 + k / 3][4 + k % 3]).collect();
        assert_close(found.values(), &expected, precision.epsilon());
    }
}
on_backends!(composition: ndarray, flex, dispatch, wgpu);

/// A map between different spaces, and what needs one space.
fn rectangular<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let [three, two] = [3, 2].map(|n| flat_space::<B>(n, precision));
    let x = three.vector(&[1.0, 2.0, 3.0]).unwrap();
    let target = two.clone();
    let first_two = FromFn::between(&three, &two, move |v: &ParamVector<B>| {
        let values = v.to_vec()?;
        Ok(target.vector(&values[..2])?)
    })
    .unwrap();
    let found = materialize(&first_two).unwrap();
    assert_eq!((found.rows(), found.columns()), (2, 3));
    assert_eq!(found.values(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(found.symmetry_error(), f64::INFINITY);
    let expected = OperatorError::NotSquare { domain: 3, codomain: 2 };
    assert_eq!(operator_error((&first_two).damped(1.0)), expected);
    assert_eq!(operator_error((&first_two).assume_self_adjoint()), expected);
    assert_eq!(operator_error(found.eigenvalues()), expected);
    assert!(first_two.plus(Identity::new(&three).unwrap()).is_err());
    // A closure that does not keep its word.
    let liar = FromFn::between(&three, &two, |v: &ParamVector<B>| Ok(v.clone())).unwrap();
    assert!(matches!(failure(&liar.apply(&x)), Some(VectorError::LayoutMismatch { .. })));
}
on_backends!(rectangular: ndarray, flex, dispatch, wgpu);

fn refusals<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let x = flat::<B>(&[1.0, 2.0], precision);
    let identity = || Identity::<B>::new(x.space()).unwrap();
    for damping in [-1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = operator_error(identity().damped(damping));
        assert!(
            matches!(error, OperatorError::Damping { found } if found.to_bits() == damping.to_bits())
        );
    }
    for factor in [f64::NAN, f64::INFINITY] {
        assert!(matches!(
            operator_error(Scaled::new(identity(), factor)),
            OperatorError::Factor { .. }
        ));
    }
    let longer = flat::<B>(&[1.0; 3], precision);
    for refused in [identity().apply(&longer), Diagonal::new(x.clone()).unwrap().apply(&longer)] {
        assert!(matches!(
            failure(&refused),
            Some(VectorError::LayoutMismatch { expected: 2, found: 3, .. })
        ));
    }
    let square = DenseMatrix::from_rows(&[[1.0, 2.0], [2.5, 1.0]]).unwrap();
    let error = operator_error(SymmetricDense::new(&square, x.space()));
    assert!(
        matches!(error, OperatorError::NotSymmetric { found, .. } if (found - 0.2).abs() < 1e-15)
    );
    assert!(matches!(
        operator_error(Dense::new(&square, longer.space())),
        OperatorError::MatrixSize { .. }
    ));
    let nan = DenseMatrix::new(1, 2, vec![0.0, f64::NAN]);
    assert!(matches!(operator_error(nan), OperatorError::NonFiniteEntry { row: 0, column: 1, .. }));
    for (row, column) in [(0, 0), (4, 99), (7, 31), (9, 98)] {
        let mut values = vec![1.0; 1000];
        values[100 * row + column] = f64::NEG_INFINITY;
        values[999] = f64::NAN; // only the first is named
        let value = f64::NEG_INFINITY;
        let expected = OperatorError::NonFiniteEntry { row, column, value };
        assert_eq!(operator_error(DenseMatrix::new(10, 100, values)), expected);
    }
    assert!(matches!(
        operator_error(DenseMatrix::new(2, 2, vec![0.0; 3])),
        OperatorError::EntryCount { .. }
    ));
    let ragged = DenseMatrix::from_rows(&[vec![1.0], vec![1.0, 2.0]]);
    assert!(matches!(operator_error(ragged), OperatorError::EntryCount { .. }));

    let large = materialize_up_to(&identity(), 1);
    assert_eq!(operator_error(large), OperatorError::TooLarge { rows: 2, columns: 2, limit: 1 });
    let poison =
        FromFn::new(x.space(), |v: &ParamVector<B>| Ok(v.clone().scale(f64::NAN))).unwrap();
    assert!(matches!(operator_error(materialize(&poison)), OperatorError::NonFiniteEntry { .. }));
    let other = layout().select("b").unwrap();
    assert!(identity().restricted(other).is_err());
}
on_backends!(refusals: ndarray, flex, dispatch, wgpu);

fn counting<B: TestBackend>() {
    let x = flat::<B>(&[1.0, 2.0], B::PRECISIONS[0]);
    let counted = Identity::<B>::new(x.space()).unwrap().counted();
    for _ in 0..3 {
        counted.apply(&x).unwrap();
    }
    materialize(&counted).unwrap();
    assert_eq!(counted.applications(), 5);
    assert!(Damped::new(&counted, 1.0).unwrap().apply(&x).is_ok());
    assert_eq!(counted.applications(), 6);
}
on_backends!(counting: ndarray, flex, dispatch, wgpu);

/// Eigenvalues and products of the host matrix against what they were made from.
fn host_matrices<B: TestBackend>() {
    for seed in 0..3 {
        let spectrum = [-3.0, -0.5, 0.25, 1.0, 8.0];
        let rows = with_spectrum(&spectrum, seed);
        assert_close(&matrix(&rows).eigenvalues().unwrap(), &spectrum, 1e-13);
        let x = SplitMix64::new(seed).normals(5);
        let b = matrix(&rows).multiply(&x).unwrap();
        assert_close(&solve(&rows, &b), &x, 1e-12);
        assert!((dot(&b, &x) - dot(&multiply(&rows, &x), &x)).abs() < 1e-12);
    }
    assert!(DenseMatrix::from_rows(&[[1.0, 2.0]]).unwrap().multiply(&[1.0]).is_err());
    assert_eq!(DenseMatrix::new(2, 0, vec![]).unwrap().multiply(&[]).unwrap(), [0.0; 2]);
    let wrapped = operator_error(DenseMatrix::new(usize::MAX / 2 + 1, 2, Vec::new()));
    assert!(matches!(wrapped, OperatorError::EntryCount { found: 0, .. }), "{wrapped}");
    let largest = DenseMatrix::from_rows(&[[f64::MAX; 2]; 2]).unwrap();
    let overflown = operator_error(largest.eigenvalues());
    assert_eq!(overflown, OperatorError::Eigenvalues { size: 2 });
    let half = usize::MAX / 64;
    let huge = Identity::new(&flat_space::<B>(half, Precision::F32)).unwrap();
    let refused = operator_error(materialize_up_to(&huge, usize::MAX));
    assert!(matches!(refused, OperatorError::TooLarge { .. }), "{refused}");
    assert_eq!(DenseMatrix::from_rows(&[[1.0, 2.0]]).unwrap().entry(0, 2), None);
}
on_backends!(host_matrices: ndarray, flex, dispatch);

/// (A + λI)v = Av + λv and (A + B)v = Av + Bv for any A, λ and v, exactly as f64 arithmetic has them.
fn damping_and_sums<B: TestBackend>(entries: &[f64], vector: &[f64], damping: f64) {
    let n = vector.len();
    let v = flat::<B>(vector, Precision::F64);
    let a = || Dense::new(&DenseMatrix::new(n, n, entries.to_vec()).unwrap(), v.space()).unwrap();
    let av = a().apply(&v).unwrap();
    let damped = a().damped(damping).unwrap().apply(&v).unwrap();
    let expected = av.clone().axpy(damping, &v).unwrap();
    assert_eq!(damped.to_vec().unwrap(), expected.to_vec().unwrap());
    let sum = a().plus(a().scaled(2.0).unwrap()).unwrap().apply(&v).unwrap();
    let triple = av.clone().scale(2.0).add(&av).unwrap();
    assert_eq!(sum.to_vec().unwrap(), triple.to_vec().unwrap());
    let twice =
        a().damped(damping).unwrap().damped(damping).unwrap().apply(&v).unwrap().to_vec().unwrap();
    let once = a().damped(2.0 * damping).unwrap().apply(&v).unwrap().to_vec().unwrap();
    let scale = av.norm().unwrap() + damping * v.norm().unwrap() + f64::MIN_POSITIVE;
    assert!(twice.iter().zip(&once).all(|(a, b)| (a - b).abs() <= 1e-14 * scale));
}

fn square_and_vector() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (1usize..6).prop_flat_map(|n| {
        let entries = -1e3..1e3f64;
        (prop::collection::vec(entries.clone(), n * n), prop::collection::vec(entries, n))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damping_and_sums_are_exact((entries, vector) in square_and_vector(), damping in 0.0..1e3f64) {
        damping_and_sums::<Autodiff<Flex>>(&entries, &vector, damping);
        damping_and_sums::<Autodiff<NdArray>>(&entries, &vector, damping);
    }
}
