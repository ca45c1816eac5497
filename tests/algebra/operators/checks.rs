//! The checks on demand name what is wrong, and let pass what is right.

use crate::failure::failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn_curvature::{
    Adjoint, Error, LinearOperator, ParamSpace, ParamVector, SelfAdjoint,
    errors::{OperatorError, VectorError},
    materialize,
    operator::{
        Dense, FromFn, Identity, SymmetricDense, check_adjoint, check_operator, check_self_adjoint,
        diagonal,
    },
    solver::NystromConfig,
};

use super::{layout, operator_error, random_rows};
use crate::{
    TestBackend, flat,
    oracle::{matrix, with_spectrum},
    space_of,
};

/// Treats several vectors otherwise than one.
struct Careless<A>(A);

impl<B: TestBackend, A: LinearOperator<B>> LinearOperator<B> for Careless<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.0.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.0.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let products = vectors.iter().rev().map(|vector| self.0.apply(vector));
        products.collect()
    }
}

/// Products of several vectors that are no numbers.
struct Overflowing<A>(A, f64);

impl<B: TestBackend, A: LinearOperator<B>> LinearOperator<B> for Overflowing<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.0.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.0.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        vectors.iter().map(|vector| Ok(self.0.apply(vector)?.scale(self.1))).collect()
    }
}

impl<B: TestBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Overflowing<A> {}

/// Loses the last of several products.
struct Losing<A>(A);

impl<B: TestBackend, A: LinearOperator<B>> LinearOperator<B> for Losing<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.0.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.0.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        vectors.iter().skip(1).rev().map(|vector| self.0.apply(vector)).collect()
    }
}

impl<B: TestBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Losing<A> {}

/// A product that is missing is no column of zeros.
fn as_many_products_as_vectors<B: TestBackend>() {
    let space = space_of::<B>(&layout(), B::PRECISIONS[0]);
    let losing = Losing(Identity::new(&space).unwrap());
    let expected = OperatorError::ProductCount { expected: 7, found: 6 };
    assert_eq!(operator_error(materialize(&losing)), expected);
    assert_eq!(operator_error(diagonal(&losing)), expected);
    let nystrom = NystromConfig::new(7, 0.5).init().unwrap();
    assert_eq!(operator_error(nystrom.approximate(&losing)), expected);
}
on_backends!(as_many_products_as_vectors: ndarray, flex, dispatch);

fn products_of_several_vectors_that_are_not_finite<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let space = space_of::<B>(&layout(), precision);
        let s = with_spectrum(&[1e3, 1.0, -2.0, 0.0, 5.0, 1e-3, 2.0], 1);
        let s = SymmetricDense::new(&matrix(&s), &space).unwrap();
        for value in [f64::NAN, f64::INFINITY] {
            let broken = Overflowing(&s, value);
            for found in [check_operator(&broken, 1), check_self_adjoint(&broken, 1)] {
                assert!(
                    matches!(failure(&found), Some(VectorError::NonFinite { .. })),
                    "{value} in {precision}: {found:?}"
                );
            }
        }
    }
}
on_backends!(products_of_several_vectors_that_are_not_finite: ndarray, flex, dispatch);

fn checks_on_demand<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let space = space_of::<B>(&layout(), precision);
        for seed in 0..5 {
            let a = Dense::new(&matrix(&random_rows(7, seed)), &space).unwrap();
            let s = with_spectrum(&[1e3, 1.0, -2.0, 0.0, 5.0, 1e-3, 2.0], seed);
            let s = SymmetricDense::new(&matrix(&s), &space).unwrap();
            check_operator(&a, seed).unwrap();
            check_adjoint(&a, seed).unwrap();
            check_self_adjoint(&s, seed).unwrap();
            let promised = (&a).assume_self_adjoint().unwrap();
            assert!(matches!(
                operator_error(check_self_adjoint(&promised, seed)),
                OperatorError::NotSelfAdjoint { found, allowed } if found > 10.0 * allowed
            ));
            assert!(matches!(
                operator_error(check_adjoint(&promised, seed)),
                OperatorError::NotAdjoint { .. }
            ));
            assert!(matches!(
                operator_error(check_operator(&Careless(&a), seed)),
                OperatorError::ManyDiffer { .. }
            ));
        }
        let closure = |f: fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>| {
            FromFn::new(&space, f).unwrap()
        };
        let affine = closure(|v| Ok(v.clone().add(&v.space().full(0.01))?));
        let clipped = closure(|v| Ok(v.clone().scale((1.0 / v.norm()?).min(0.3))));
        for nonlinear in [&affine, &clipped] {
            let error = operator_error(check_operator(nonlinear, 1));
            assert!(matches!(error, OperatorError::NotLinear { .. }), "{error}");
        }
        let poison = closure(|v| Ok(v.clone().scale(f64::NAN)));
        assert!(matches!(
            failure(&check_operator(&poison, 1)),
            Some(VectorError::NonFinite { .. })
        ));
        let shorter = closure(|v| Ok(flat::<B>(&[1.0], v.precision())));
        assert!(matches!(
            failure(&check_operator(&shorter, 1)),
            Some(VectorError::LayoutMismatch { .. })
        ));
        // A new random mask for every product, as in dropout.
        let calls = AtomicUsize::new(0);
        let dropout = FromFn::new(&space, |v: &ParamVector<B>| {
            let seed = calls.fetch_add(1, Ordering::Relaxed) as u64;
            Ok(v.space().rademacher(seed).add(&v.space().ones())?.mul(v)?)
        })
        .unwrap();
        let error = operator_error(check_operator(&dropout, 1));
        assert!(
            matches!(error, OperatorError::NotDeterministic { difference } if difference > 0.1)
        );
        assert!(error.to_string().contains("dropout"));
    }
}
on_backends!(checks_on_demand: ndarray, flex, dispatch);

/// An operator with an adjoint of a trait object's kind still has it.
fn adjoints_behind_pointers<B: TestBackend>() {
    let space = space_of::<B>(&layout(), B::PRECISIONS[0]);
    let boxed: Box<dyn Adjoint<B>> =
        Box::new(Dense::new(&matrix(&random_rows(7, 1)), &space).unwrap());
    check_adjoint(&boxed, 1).unwrap();
    check_adjoint(&Arc::new(boxed), 2).unwrap();
}
on_backends!(adjoints_behind_pointers: ndarray, flex, dispatch);
