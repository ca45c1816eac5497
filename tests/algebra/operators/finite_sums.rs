//! Means of operators: their terms, and compositions that pass the terms on.

use crate::failure::failure;
use burn_curvature::{
    FiniteSum, LinearOperator,
    errors::{OperatorError, VectorError},
    operator::{Diagonal, Identity, LowRank, Mean, SymmetricDense},
};

use super::{
    layout,
    obey::{combined, diagonal_matrix, obeys_symmetric},
    operator_error,
};
use crate::{
    TestBackend, assert_close,
    dense::{Rows, multiply},
    flat, on,
    oracle::{matrix, with_spectrum},
    random::SplitMix64,
};

/// Each term is the matrix it should be, and the mean of the terms is the whole.
#[track_caller]
fn terms_are<B: TestBackend>(operator: &dyn FiniteSum<B>, terms: &[Rows]) {
    let space = operator.domain();
    let rounding = 100.0 * space.precision().epsilon();
    assert_eq!(operator.terms(), terms.len());
    let v = SplitMix64::new(77).normals(terms[0].len());
    let x = space.vector(&v).unwrap();
    for (index, term) in terms.iter().enumerate() {
        let found = operator.apply_term(index, &x).unwrap().to_vec().unwrap();
        assert_close(&found, &multiply(term, &v), rounding);
    }
    let zero = combined(&terms[0], &terms[0], |_, _| 0.0);
    let sum = terms.iter().fold(zero, |sum, term| combined(&sum, term, |a, b| a + b));
    let mean = combined(&sum, &sum, |a, _| a / terms.len() as f64);
    obeys_symmetric(&operator, &mean);
    let beyond = operator_error(operator.apply_term(terms.len(), &x));
    assert_eq!(beyond, OperatorError::NoSuchTerm { index: terms.len(), terms: terms.len() });
    let longer = flat::<B>(&[1.0; 9], space.precision());
    assert!(matches!(
        failure(&operator.apply_term(0, &longer)),
        Some(VectorError::LayoutMismatch { .. })
    ));
}

fn finite_sums<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let x = on::<B>(&layout(), &[0.0; 7], precision);
        let spectrum = [3.0, -1.0, 0.5, 2.0, 0.0, 1.0, -4.0];
        let terms: Vec<Rows> = (0..3).map(|seed| with_spectrum(&spectrum, seed)).collect();
        let mean = || {
            let terms = terms.iter();
            let terms = terms.map(|rows| SymmetricDense::new(&matrix(rows), x.space()).unwrap());
            Mean::new::<B>(terms.collect()).unwrap()
        };
        let each = |f: &dyn Fn(&Rows) -> Rows| terms.iter().map(f).collect::<Vec<Rows>>();
        let one = diagonal_matrix(&[1.0; 7]);
        let d: Vec<f64> = (1..8).map(f64::from).collect();
        terms_are(&mean(), &terms);
        terms_are(&&mean(), &terms);
        terms_are(&mean().counted(), &terms);
        let scaled = each(&|a| combined(a, a, |a, _| 3.0 * a));
        terms_are(&mean().scaled(3.0).unwrap(), &scaled);
        let damped = each(&|a| combined(a, &one, |a, one| a + 0.7 * one));
        terms_are(&mean().damped(0.7).unwrap(), &damped);
        let by_name = mean().damped_per_block(0.7, &[("*", 0.7)]).unwrap();
        terms_are(&by_name, &damped);
        let weights = || x.space().vector(&d).unwrap();
        let shifted = each(&|a| combined(a, &diagonal_matrix(&d), |a, d| a + d));
        terms_are(&mean().damped_by(weights()).unwrap(), &shifted);
        let sum = mean().plus(Diagonal::new(weights()).unwrap()).unwrap();
        terms_are(&sum, &shifted);
        let bias = layout().select("b").unwrap();
        let block = each(&|a| a[4..].iter().map(|row| row[4..].to_vec()).collect());
        terms_are(&mean().restricted(bias).unwrap(), &block);

        let vectors: Vec<Vec<f64>> = (0..3).map(|seed| SplitMix64::new(seed).normals(7)).collect();
        let coefficients = [0.5, 2.0, 0.25];
        let outer = |i: usize| -> Rows {
            let v = &vectors[i];
            let entry = |a: f64, b: f64| 3.0 * coefficients[i] * a * b;
            v.iter().map(|a| v.iter().map(|b| entry(*a, *b)).collect()).collect()
        };
        let with_damping = |i| combined(&outer(i), &one, |a, one| a + 0.1 * one);
        let on_device: Vec<_> = vectors.iter().map(|v| x.space().vector(v).unwrap()).collect();
        let low_rank = LowRank::new(&on_device, &coefficients).unwrap();
        let low_rank = low_rank.with_damping(0.1).unwrap();
        let expected: Vec<Rows> = (0..3).map(with_damping).collect();
        terms_are(&low_rank, &expected);
    }
    let x = flat::<B>(&[1.0, 2.0], B::PRECISIONS[0]);
    let counted = Mean::new::<B>(vec![Identity::<B>::new(x.space()).unwrap()]).unwrap().counted();
    counted.apply_term(0, &x).unwrap();
    assert_eq!((counted.applications(), counted.term_applications()), (0, 1));
    let empty = Mean::new::<B>(Vec::<Identity<B>>::new());
    assert_eq!(operator_error(empty), OperatorError::Nothing);
    let other = Identity::new(flat::<B>(&[0.0; 7], x.precision()).space()).unwrap();
    let mixed = Mean::new::<B>(vec![Identity::<B>::new(x.space()).unwrap(), other]);
    assert!(matches!(failure(&mixed), Some(VectorError::LayoutMismatch { .. })));
}
on_backends!(finite_sums: ndarray, flex, dispatch);
