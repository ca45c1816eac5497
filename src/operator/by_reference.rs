//! Operators behind references and boxes are operators.

use std::{ops::Range, sync::Arc};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamSpace, ParamVector},
};

use super::{Adjoint, DenseMatrix, FiniteSum, LinearOperator, SelfAdjoint};

macro_rules! forward_to_inner {
    ($pointer:ty) => {
        impl<B: AutodiffBackend, T: LinearOperator<B> + ?Sized> LinearOperator<B> for $pointer {
            fn domain(&self) -> &ParamSpace<B> {
                (**self).domain()
            }

            fn codomain(&self) -> &ParamSpace<B> {
                (**self).codomain()
            }

            fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
                (**self).apply(vector)
            }

            fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
                (**self).apply_many(vectors)
            }

            fn columns(&self, positions: Range<usize>) -> Result<DenseMatrix, Error> {
                (**self).columns(positions)
            }
        }

        impl<B: AutodiffBackend, T: SelfAdjoint<B> + ?Sized> SelfAdjoint<B> for $pointer {
            fn apply_with_quadratic_form(
                &self,
                vector: &ParamVector<B>,
            ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
                (**self).apply_with_quadratic_form(vector)
            }
        }

        impl<B: AutodiffBackend, T: Adjoint<B> + ?Sized> Adjoint<B> for $pointer {
            fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
                (**self).apply_adjoint(vector)
            }

            fn apply_adjoint_many(
                &self,
                vectors: &[ParamVector<B>],
            ) -> Result<Vec<ParamVector<B>>, Error> {
                (**self).apply_adjoint_many(vectors)
            }
        }

        impl<B: AutodiffBackend, T: FiniteSum<B> + ?Sized> FiniteSum<B> for $pointer {
            fn terms(&self) -> usize {
                (**self).terms()
            }

            fn damping(&self) -> f64 {
                (**self).damping()
            }

            fn apply_term(
                &self,
                index: usize,
                vector: &ParamVector<B>,
            ) -> Result<ParamVector<B>, Error> {
                (**self).apply_term(index, vector)
            }
        }
    };
}

forward_to_inner!(&T);
forward_to_inner!(Box<T>);
forward_to_inner!(Arc<T>);
