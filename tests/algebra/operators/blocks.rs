//! Block diagonal and Kronecker operators.

use crate::failure::failure;
use burn_curvature::{
    LinearOperator, ParamLayout, ParamVector, SelfAdjoint,
    errors::{OperatorError, VectorError},
    operator::{BlockDiagonal, Dense, Identity, Kronecker, SymmetricDense},
};

use super::{
    layout,
    obey::{obeys, obeys_symmetric, obeys_with_adjoint},
    operator_error, random_rows,
};
use crate::{
    TestBackend,
    dense::Rows,
    flat, on,
    oracle::{matrix, with_spectrum},
};

/// Parts in a matrix of zeros.
fn placed(n: usize, parts: &[(usize, &Rows)]) -> Rows {
    let mut whole = vec![vec![0.0; n]; n];
    for (offset, part) in parts {
        for (i, row) in part.iter().enumerate() {
            whole[offset + i][*offset..offset + row.len()].copy_from_slice(row);
        }
    }
    whole
}

fn block_diagonals<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let x = on::<B>(&layout(), &[0.0; 7], precision);
        let (a, b) = (random_rows(4, 1), random_rows(3, 2));
        let (w, bias) = (layout().select("w").unwrap(), layout().select("b").unwrap());
        let on_w = Dense::new(&matrix(&a), w.restrict(&x).unwrap().space()).unwrap();
        let on_b = Dense::new(&matrix(&b), bias.restrict(&x).unwrap().space()).unwrap();
        let expected = placed(7, &[(0, &a), (4, &b)]);
        let parts = vec![(bias.clone(), on_b.clone()), (w.clone(), on_w.clone())];
        let operator = BlockDiagonal::new(x.space(), parts).unwrap();
        obeys_with_adjoint(&operator, &expected);
        assert_eq!(operator.parts().len(), 2);
        let per_block = BlockDiagonal::per_block(x.space(), |subset| {
            let rows = if subset.layout().len() == 4 { &a } else { &b };
            Dense::new(&matrix(rows), subset.restrict(&x)?.space())
        });
        obeys(&per_block.unwrap(), &expected);

        // Parts of different kinds, and a part of two blocks that are not adjacent.
        let three = ParamLayout::from_shapes([("a", [2]), ("m", [1]), ("z", [1])]).unwrap();
        let y = on::<B>(&three, &[0.0; 4], precision);
        let outer = three.select_by(|block| block.name() != "m").unwrap();
        let middle = three.select("m").unwrap();
        let s = with_spectrum(&[1.0, -2.0, 5.0], 3);
        let dense = SymmetricDense::new(&matrix(&s), outer.restrict(&y).unwrap().space()).unwrap();
        let minus =
            Identity::new(&y.space().restricted(&middle).unwrap()).unwrap().scaled(-3.0).unwrap();
        let parts: Vec<(_, Box<dyn SelfAdjoint<B>>)> =
            vec![(outer, Box::new(dense)), (middle, Box::new(minus))];
        let mixed = BlockDiagonal::new(y.space(), parts).unwrap();
        let (p, q, r) = (&s[0], &s[1], &s[2]);
        let expected = vec![
            vec![p[0], p[1], 0.0, p[2]],
            vec![q[0], q[1], 0.0, q[2]],
            vec![0.0, 0.0, -3.0, 0.0],
            vec![r[0], r[1], 0.0, r[2]],
        ];
        obeys_symmetric(&mixed, &expected);

        let block = |name: &str| name.to_string();
        let missing = BlockDiagonal::new(x.space(), vec![(w.clone(), on_w.clone())]);
        assert_eq!(operator_error(missing), OperatorError::BlockMissing { block: block("b") });
        let twice = vec![(w.clone(), on_w.clone()), (w.clone(), on_w.clone())];
        assert_eq!(
            operator_error(BlockDiagonal::new(x.space(), twice)),
            OperatorError::BlockTwice { block: block("w") }
        );
        for wrong in [vec![(w.clone(), on_b)], vec![(middle_of(&three), on_w)]] {
            assert!(matches!(
                failure(&BlockDiagonal::new(x.space(), wrong)),
                Some(VectorError::LayoutMismatch { .. })
            ));
        }
    }
}
on_backends!(block_diagonals: ndarray, flex, dispatch);

fn middle_of(layout: &std::sync::Arc<ParamLayout>) -> burn_curvature::ParamSubset {
    layout.select("m").unwrap()
}

/// A ⊗ G entry by entry: between (i, o) and (j, p) it is Aᵢⱼ·Gₒₚ, in Burn's row-major order of `[d_in, d_out]`.
fn kronecker<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let single = ParamLayout::from_shapes([("w", [3, 2])]).unwrap();
        let x = on::<B>(&single, &[0.0; 6], precision);
        let (a, g) = (with_spectrum(&[1.0, 0.2, 4.0], 1), with_spectrum(&[2.0, -0.5], 2));
        let expected: Rows =
            (0..6).map(|r| (0..6).map(|c| a[r / 2][c / 2] * g[r % 2][c % 2]).collect()).collect();
        let operator = Kronecker::new(&matrix(&a), &matrix(&g), x.space()).unwrap();
        obeys_symmetric(&operator, &expected);
        obeys_with_adjoint(operator, &expected);

        // A bias is the last row.
        let with_bias = ParamLayout::from_shapes([("w", vec![2, 2]), ("b", vec![2])]).unwrap();
        let space = on::<B>(&with_bias, &[0.0; 6], precision).space().clone();
        let operator = Kronecker::new(&matrix(&a), &matrix(&g), &space).unwrap();
        obeys_symmetric(&operator, &expected);
        assert!(matches!(
            operator_error(Kronecker::<B>::new(&matrix(&g), &matrix(&g), &space)),
            OperatorError::MatrixSize { expected_rows: 3, rows: 2, .. }
        ));

        let refused = |a: &Rows, g: &Rows, x: &ParamVector<B>| {
            operator_error(Kronecker::<B>::new(&matrix(a), &matrix(g), x.space()))
        };
        assert!(matches!(
            refused(&g, &a, &x),
            OperatorError::MatrixSize { expected_rows: 3, rows: 2, .. }
        ));
        assert!(matches!(refused(&random_rows(3, 1), &g, &x), OperatorError::NotSymmetric { .. }));
        for shape in [flat::<B>(&[1.0; 6], precision), on(&layout(), &[1.0; 7], precision)] {
            assert!(matches!(refused(&a, &g, &shape), OperatorError::NotOneMatrix { .. }));
        }
    }
}
on_backends!(kronecker: ndarray, flex, dispatch);
