//! The Hessian of an objective.

use burn_backend::AutodiffBackend;

use super::{expect_term, single};
use crate::{
    error::Error,
    objective::Objective,
    operator::{FiniteSum, LinearOperator, SelfAdjoint},
    space::{ParamSpace, ParamVector},
};

/// The exact Hessian of an objective as a linear operator.
///
/// ```text
/// H = ∇²ℒ(θ)      v ↦ Hv = ∇⟨∇ℒ(θ), v⟩
/// ```
///
/// ℒ with its own reduction: for a loss that is a mean over samples, H is the mean of the samples' Hessians.
/// Self-adjoint; in general *not* positive definite: conjugate gradients on it can meet negative curvature and say
/// so. [`damped`](LinearOperator::damped) adds λI.
///
/// # Cost
///
/// About one gradient per product, and once about one more; see [`Objective::hessian_vector_product`]. Products are
/// not read back from the device: a product that is not finite is reported by the solver, or by
/// [`Objective::hessian_vector_product`].
///
/// # References
///
/// Pearlmutter 1994, *Fast exact multiplication by the Hessian*.
#[derive(Debug)]
pub struct Hessian<B: AutodiffBackend> {
    objective: Objective<B>,
}

impl<B: AutodiffBackend> Clone for Hessian<B> {
    fn clone(&self) -> Self {
        Self { objective: self.objective.clone() }
    }
}

impl<B: AutodiffBackend> Hessian<B> {
    /// The Hessian at the objective's parameters, on its batch.
    pub fn new(objective: &Objective<B>) -> Self {
        Self { objective: objective.clone() }
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Hessian<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.objective.parameters().space()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        single(self.apply_many(std::slice::from_ref(vector))?)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.objective.hessian_products(vectors)
    }
}

impl<B: AutodiffBackend> FiniteSum<B> for Hessian<B> {
    fn terms(&self) -> usize {
        self.objective.batches()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        expect_term(index, self.terms())?;
        self.objective.hessian_term(index, vector)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Hessian<B> {}
