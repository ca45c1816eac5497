//! The Jacobian of a model's outputs.

use std::fmt;

use burn_backend::AutodiffBackend;

use super::single;
use crate::{
    derive::Product,
    error::Error,
    objective::{Objective, PreparedProduct},
    operator::{Adjoint, LinearOperator},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

/// The Jacobian J = ∂z/∂θ of the outputs that the captured closure returned besides the loss.
///
/// ```text
/// tangent v ↦ J v      cotangent u ↦ Jᵀu
/// ```
///
/// Outputs are laid out as in [`Objective::outputs`]: one block for one batch, or one per batch over a data set. Nothing is
/// averaged or rescaled. For a [shared](Objective::shared) objective there is a block for each batch of every rank, and
/// every rank has all of them: norms and inner products are those of the whole data set.
///
/// # Cost
/// J v costs about a forward pass and Jᵀu about a backward pass, and each another forward pass once per (θ, batch). On
/// a shared objective J v also takes a message of all outputs, and Jᵀu one of all parameters.
///
/// # Example
/// For z = x w, J v = x v.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Adjoint, Jacobian, LinearOperator, Objective};
///
/// #[derive(Module, Debug)]
/// struct Line {
///     w: Param<Tensor<2>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Line { w: Param::from_tensor(Tensor::from_floats([[0.5], [-1.0]], &device)) };
/// let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
///
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = x.matmul(model.w.val());
///     (z.clone(), z.powf_scalar(2.0).sum())
/// })?;
/// let jacobian = Jacobian::new(&objective)?;
/// let v = objective.parameters().space().vector(&[1.0, 1.0])?;
/// assert_eq!(jacobian.apply(&v)?.to_vec()?, [3.0, 7.0]);
/// let u = objective.outputs()?.space().vector(&[1.0, 0.0])?;
/// assert_eq!(jacobian.apply_adjoint(&u)?.to_vec()?, [1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Jacobian<B: AutodiffBackend = DefaultBackend> {
    objective: Objective<B>,
    outputs: ParamSpace<B>,
    forward: PreparedProduct<B>,
    adjoint: PreparedProduct<B>,
}

impl<B: AutodiffBackend> Jacobian<B> {
    /// The Jacobian at the objective's parameters, on its batches.
    ///
    /// # Errors
    /// [`DeriveError::NoOutputs`](crate::errors::DeriveError::NoOutputs) if the captured closure returned the loss alone.
    #[inline(never)]
    pub fn new(objective: &Objective<B>) -> Result<Self, Error> {
        Ok(Self {
            outputs: objective.parameters().space().with_layout(&objective.outputs_layout()?),
            objective: objective.clone(),
            forward: objective.product(Product::Jacobian)?,
            adjoint: objective.product(Product::Adjoint)?,
        })
    }

    /// Precomputes the parts of J v and Jᵀu that do not depend on the vector. Otherwise the first product does this.
    ///
    /// # Errors
    /// A failure of the backend.
    pub fn prepare(&self) -> Result<(), Error> {
        self.objective.prepare_product(&self.forward)?;
        self.objective.prepare_product(&self.adjoint)
    }

    /// Bytes kept between products at present.
    pub fn kept_bytes(&self) -> usize {
        self.forward.kept_bytes() + self.adjoint.kept_bytes()
    }
}

impl<B: AutodiffBackend> fmt::Debug for Jacobian<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jacobian")
            .field("objective", &self.objective)
            .field("outputs", &self.outputs.len())
            .finish_non_exhaustive()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Jacobian<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.objective.parameters().space()
    }

    fn codomain(&self) -> &ParamSpace<B> {
        &self.outputs
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        single(self.apply_many(std::slice::from_ref(vector))?)
    }

    #[inline(never)]
    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.objective.jacobian_products(&self.forward, &self.outputs, vectors)
    }
}

impl<B: AutodiffBackend> Adjoint<B> for Jacobian<B> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        single(self.apply_adjoint_many(std::slice::from_ref(vector))?)
    }

    #[inline(never)]
    fn apply_adjoint_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.objective.adjoint_products(&self.adjoint, &self.outputs, vectors)
    }
}
