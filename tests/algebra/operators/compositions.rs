//! Products, transposes, damping: against the matrix each should be.

use crate::failure::failure;
use burn_curvature::{
    LinearOperator, ParamSpace, ParamVector,
    errors::{OperatorError, ParamError, VectorError},
    materialize,
    operator::{
        BlockDamping, Chain, Congruence, Damped, Dense, Diagonal, FromFn, Identity, SymmetricDense,
        diagonal,
    },
};

use super::{
    layout,
    obey::{combined, diagonal_matrix, obeys_symmetric, obeys_with_adjoint},
    operator_error, random_rows,
};
use crate::{
    TestBackend, assert_close,
    dense::{product, transposed},
    flat, flat_space,
    oracle::{matrix, with_spectrum},
    random::SplitMix64,
    space_of,
};

/// Everything with a transpose, square: A and its compositions.
fn transposes<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..3 {
            let space = space_of::<B>(&layout(), precision);
            let (a, b) = (random_rows(7, seed), random_rows(7, seed + 50));
            let d = SplitMix64::new(seed + 9).normals(7);
            let dense = |rows| Dense::new(&matrix(rows), &space).unwrap();
            let s = with_spectrum(&[3.0, -1.0, 0.5, 2.0, 0.0, 1.0, -4.0], seed);
            let one = diagonal_matrix(&[1.0; 7]);
            obeys_with_adjoint(Identity::new(&space).unwrap(), &one);
            obeys_with_adjoint(dense(&a), &a);
            obeys_with_adjoint(SymmetricDense::new(&matrix(&s), &space).unwrap(), &s);
            let weights = Diagonal::new(space.vector(&d).unwrap()).unwrap();
            obeys_with_adjoint(weights, &diagonal_matrix(&d));
            let scaled = combined(&a, &a, |a, _| -2.0 * a);
            obeys_with_adjoint(dense(&a).scaled(-2.0).unwrap(), &scaled);
            let sum = combined(&a, &b, |a, b| a + b);
            obeys_with_adjoint(dense(&a).plus(dense(&b)).unwrap(), &sum);
            let damped = combined(&a, &one, |a, one| a + 0.5 * one);
            obeys_with_adjoint(dense(&a).damped(0.5).unwrap(), &damped);
            obeys_with_adjoint(dense(&a).damped(0.0).unwrap(), &a);
            let chain = dense(&a).times(dense(&b)).unwrap();
            obeys_with_adjoint(&chain, &product(&a, &b));
            obeys_with_adjoint(dense(&a).counted(), &a);
            let congruence = product(&transposed(&a), &product(&s, &a));
            let middle = SymmetricDense::new(&matrix(&s), &space).unwrap();
            let congruence_operator = Congruence::new(dense(&a), middle).unwrap();
            obeys_with_adjoint(&congruence_operator, &congruence);
            let even = combined(&congruence, &transposed(&congruence), |a, b| 0.5 * (a + b));
            obeys_symmetric(&congruence_operator, &even);
            // By reference and boxed, and of any self-adjoint operator on the caller's word.
            obeys_with_adjoint(Box::new(&dense(&a)), &a);
            let promised = FromFn::new(&space, {
                let s = SymmetricDense::new(&matrix(&s), &space).unwrap();
                move |v: &ParamVector<B>| s.apply(v)
            })
            .unwrap();
            obeys_with_adjoint(promised.assume_self_adjoint().unwrap(), &s);
            let bias = layout().select("b").unwrap();
            let block = |rows: &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
                rows[4..].iter().map(|row| row[4..].to_vec()).collect()
            };
            let restricted = dense(&a).restricted(bias).unwrap();
            obeys_with_adjoint(restricted, &block(&a));
            let read = diagonal(&dense(&a)).unwrap().to_vec().unwrap();
            let expected: Vec<f64> = (0..7).map(|i| a[i][i]).collect();
            assert_close(&read, &expected, precision.epsilon());
        }
    }
}
on_backends!(transposes: ndarray, flex, dispatch);

/// Damping by a diagonal, and block by block.
fn damping_by_parts<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let space = space_of::<B>(&layout(), precision);
        let a = random_rows(7, 4);
        let s = with_spectrum(&[3.0, -1.0, 0.5, 2.0, 0.0, 1.0, -4.0], 4);
        let dense = || Dense::new(&matrix(&a), &space).unwrap();
        let symmetric = || SymmetricDense::new(&matrix(&s), &space).unwrap();
        let d: Vec<f64> = SplitMix64::new(3).normals(7).iter().map(|d| d.abs()).collect();
        let vector = || space.vector(&d).unwrap();
        let plus = |a, d: &[f64]| combined(a, &diagonal_matrix(d), |a, d| a + d);
        obeys_with_adjoint(dense().damped_by(vector()).unwrap(), &plus(&a, &d));
        obeys_symmetric(&Damped::new(symmetric(), vector()).unwrap(), &plus(&s, &d));

        let per_block = [0.25, 0.25, 0.25, 0.25, 3.0, 3.0, 3.0];
        let by_name = dense().damped_per_block(0.25, &[("b", 3.0)]).unwrap();
        assert_eq!(by_name.diagonal().values(), [0.25, 3.0]);
        obeys_with_adjoint(by_name, &plus(&a, &per_block));
        let all =
            [(layout().select("b").unwrap(), 3.0), (layout().select_module("w").unwrap(), 0.25)];
        let by_subset = BlockDamping::new(&layout(), 7.0, &all).unwrap();
        let by_subset = Damped::new(symmetric(), by_subset).unwrap();
        obeys_symmetric(&by_subset, &plus(&s, &per_block));

        for bad in [-1e-9, f64::NAN, f64::INFINITY] {
            let mut values = d.clone();
            values[5] = bad;
            let refused = dense().damped_by(space.vector(&values).unwrap());
            assert!(matches!(operator_error(refused), OperatorError::Damping { .. }));
            for (otherwise, damping) in [(bad, 1.0), (1.0, bad)] {
                let refused = dense().damped_per_block(otherwise, &[("b", damping)]);
                assert!(matches!(operator_error(refused), OperatorError::Damping { .. }));
            }
        }
        let twice = dense().damped_per_block(0.0, &[("*", 1.0), ("b", 2.0)]);
        let block = "b".to_string();
        assert_eq!(operator_error(twice), OperatorError::BlockTwice { block });
        let unknown = dense().damped_per_block(0.0, &[("c", 1.0)]).unwrap_err();
        assert!(matches!(unknown.downcast_ref(), Some(ParamError::EmptySelection { .. })));
        let other = flat::<B>(&[1.0; 7], precision);
        assert!(matches!(
            failure(&dense().damped_by(other)),
            Some(VectorError::LayoutMismatch { .. })
        ));
    }
}
on_backends!(damping_by_parts: ndarray, flex, dispatch);

/// Products of maps between different spaces.
fn rectangular_chains<B: TestBackend>() {
    let precision = *B::PRECISIONS.last().unwrap();
    let [three, two] = [3, 2].map(|n| flat_space::<B>(n, precision));
    let rows = random_rows(3, 8)[..2].to_vec();
    let map = |rows: Vec<Vec<f64>>, to: ParamSpace<B>| {
        move |v: &ParamVector<B>| {
            let values = crate::dense::multiply(&rows, &v.to_vec()?);
            Ok(to.vector(&values)?)
        }
    };
    let forward = || {
        FromFn::between(&three, &two, map(rows.clone(), two.clone()))
            .unwrap()
            .with_adjoint(map(transposed(&rows), three.clone()))
    };
    obeys_with_adjoint(forward(), &rows);
    let gram = product(&transposed(&rows), &rows);
    let back_and_forth = forward().transposed().times(forward()).unwrap();
    obeys_with_adjoint(back_and_forth, &gram);
    let outer = forward().times(forward().transposed()).unwrap();
    obeys_with_adjoint(outer, &product(&rows, &transposed(&rows)));
    let seen = Congruence::new(forward(), Identity::new(&two).unwrap()).unwrap();
    obeys_symmetric(&seen, &gram);

    assert!(matches!(
        failure(&Chain::new(forward(), forward())),
        Some(VectorError::LayoutMismatch { expected: 3, found: 2, .. })
    ));
    assert!(Congruence::new(forward(), Identity::new(&three).unwrap()).is_err());
    assert!(matches!(
        operator_error(Congruence::new(forward(), forward())),
        OperatorError::NotSquare { .. }
    ));
    assert!(matches!(operator_error(diagonal(&forward())), OperatorError::NotSquare { .. }));
    // A closure whose transpose does not keep its word.
    let liar = FromFn::between(&three, &two, map(rows.clone(), two.clone()))
        .unwrap()
        .with_adjoint(|v: &ParamVector<B>| Ok(v.clone()));
    assert!(materialize(&liar.transposed()).is_err());
}
on_backends!(rectangular_chains: ndarray, flex, dispatch);
