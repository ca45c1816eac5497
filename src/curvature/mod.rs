//! Curvature matrices of an objective as linear operators: Hessian, Gauss-Newton, Fisher, Jacobian. Depends on
//! `objective`, `operator` and the products and likelihoods of `derive`.
//!
//! | operator | is | definite |
//! |---|---|---|
//! | [`Hessian`] | ∇²ℒ | no |
//! | [`GaussNewton`] | c·Σ Jᵀ(∇²_z ℓ)J | positive semidefinite for a loss that is convex in the outputs |
//! | [`Fisher`] | c·Σ E[∇log p ∇log pᵀ], exact or Monte-Carlo | positive semidefinite |
//! | [`EmpiricalFisher`] | c·Σ ∇ℓₙ∇ℓₙᵀ with the targets of the data | positive semidefinite |
//! | [`Jacobian`] | ∂z/∂θ, from parameters to outputs | not square |
//!
//! `apply_many`, and `apply_adjoint_many` of the Jacobian, multiply several vectors at once: the program of the product, with
//! one more dimension for the vectors, runs once for as many vectors as the
//! [memory budget](crate::Objective::with_memory_budget) and, on a CPU, the caches allow; on a CPU several runs share the
//! threads. Estimators, and solvers with many right-hand sides, use these methods.
//! [`Objective::hessian_program_for`](crate::Objective::hessian_program_for) shows the program.
//! [`columns`](crate::LinearOperator::columns), which [`materialize`](crate::materialize) uses, makes no vectors at
//! all: each parameter has a program for its unit vectors, which skips what is zero for all of them. With
//! [`Engine::Eager`](crate::Engine::Eager) vectors are multiplied one after another.
//!
//! Each operator is over one batch or, for an objective made by [`Objective::over`](crate::Objective::over), over a data set.

mod fisher;
mod gauss_newton;
mod hessian;
mod jacobian;

pub use fisher::{EmpiricalFisher, Fisher};
pub use gauss_newton::GaussNewton;
pub use hessian::Hessian;
pub use jacobian::Jacobian;

use burn_backend::AutodiffBackend;

use crate::{error::Error, objective::ObjectiveError, operator::OperatorError, space::ParamVector};

/// The product with a single vector.
fn single<B: AutodiffBackend>(products: Vec<ParamVector<B>>) -> Result<ParamVector<B>, Error> {
    let product = products.into_iter().next();
    product.ok_or_else(|| ObjectiveError::NoBatches.into())
}

/// Checks the index of a batch.
fn expect_term(index: usize, terms: usize) -> Result<(), OperatorError> {
    if index < terms { Ok(()) } else { Err(OperatorError::NoSuchTerm { index, terms }) }
}

/// A self-adjoint operator whose products are those of an objective: the field `objective` and the prepared `product`.
macro_rules! objective_operator {
    ($name:ident) => {
        impl<B: AutodiffBackend> std::fmt::Debug for $name<B> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("objective", &self.objective)
                    .finish_non_exhaustive()
            }
        }

        impl<B: AutodiffBackend> $name<B> {
            /// Precomputes everything that does not depend on the vector. Otherwise the first product does this.
            ///
            /// # Errors
            /// A failure of the backend.
            pub fn prepare(&self) -> Result<(), Error> {
                self.objective.prepare_product(&self.product)
            }

            /// Bytes kept between products at present, by all operators that share them: those of the same objective
            /// with the same product.
            pub fn kept_bytes(&self) -> usize {
                self.product.kept_bytes()
            }
        }

        impl<B: AutodiffBackend> LinearOperator<B> for $name<B> {
            fn domain(&self) -> &ParamSpace<B> {
                self.objective.parameters().space()
            }

            fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
                $crate::curvature::single(self.apply_many(std::slice::from_ref(vector))?)
            }

            fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
                self.objective.products(&self.product, vectors)
            }

            fn columns(
                &self,
                positions: std::ops::Range<usize>,
            ) -> Result<$crate::operator::DenseMatrix, Error> {
                self.objective.columns(self, &self.product, positions)
            }
        }

        impl<B: AutodiffBackend> SelfAdjoint<B> for $name<B> {}

        impl<B: AutodiffBackend> FiniteSum<B> for $name<B> {
            fn terms(&self) -> usize {
                self.objective.terms()
            }

            fn apply_term(
                &self,
                index: usize,
                vector: &ParamVector<B>,
            ) -> Result<ParamVector<B>, Error> {
                $crate::curvature::expect_term(index, self.terms())?;
                self.objective.term(&self.product, index, vector)
            }
        }
    };
}
use objective_operator;
