//! The Hessian of an objective.

use burn_backend::AutodiffBackend;

use super::objective_operator;
use crate::{
    derive::Product,
    error::Error,
    objective::{Objective, PreparedProduct},
    operator::{FiniteSum, LinearOperator, SelfAdjoint},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

/// The exact Hessian of an objective as a linear operator.
///
/// ```text
/// H = ∇²ℒ(θ)      v ↦ Hv = ∇⟨∇ℒ(θ), v⟩
/// ```
///
/// ℒ keeps its reduction: if the loss is a mean over samples, H is the mean of the samples' Hessians. H is self-adjoint
/// but in general *not* positive definite: conjugate gradients can meet negative curvature on it, and report it.
/// [`damped`](LinearOperator::damped) adds λI.
///
/// # Cost
/// 0.4 to 0.8 gradients per product, and once per (θ, batch) about half a gradient more; see
/// [`Objective::hessian_vector_product`]. Products are not read back from the device: a product that is not finite is
/// reported by the solver, or by [`Objective::hessian_vector_product`].
///
/// # References
/// Pearlmutter 1994, *Fast exact multiplication by the Hessian*.
///
/// # Example
/// For ℒ = w³ at w = 2, H = 6 w = 12.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Hessian, LinearOperator, Objective};
///
/// #[derive(Module, Debug)]
/// struct Weight {
///     w: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let model = Weight { w: Param::from_tensor(Tensor::full([1], 2.0, &Device::default().autodiff())) };
/// let objective = Objective::capture(&model, (), |model, ()| {
///     let w = model.w.val();
///     w.clone() * w.clone() * w
/// })?;
/// let one = objective.parameters().space().ones();
/// assert_eq!(Hessian::new(&objective)?.apply(&one)?.to_vec()?, [12.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Hessian<B: AutodiffBackend = DefaultBackend> {
    objective: Objective<B>,
    product: PreparedProduct<B>,
}

objective_operator!(Hessian);

impl<B: AutodiffBackend> Hessian<B> {
    /// The Hessian at the objective's parameters, over its batches.
    ///
    /// # Errors
    /// Infallible: capturing has refused whatever cannot be differentiated twice. A `Result` as for all operators.
    pub fn new(objective: &Objective<B>) -> Result<Self, Error> {
        let product = objective.product(Product::Hessian)?;
        Ok(Self { objective: objective.clone(), product })
    }
}
