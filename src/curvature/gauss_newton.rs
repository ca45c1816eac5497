//! The generalized Gauss-Newton matrix of an objective.

use burn_backend::AutodiffBackend;

use super::objective_operator;
use crate::{
    derive::Product,
    error::Error,
    objective::{Objective, PreparedProduct},
    operator::{FiniteSum, Identity, LinearOperator, Scaled, SelfAdjoint, Sum},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

/// The generalized Gauss-Newton matrix of an objective as a linear operator.
///
/// ```text
/// G = c·Σₙ Jₙᵀ (∇²_z ℓₙ) Jₙ      v ↦ J v ↦ ∇²_z ℓ·J v ↦ Jᵀ ∇²_z ℓ J v
/// ```
///
/// z are the outputs that the captured closure returned besides the loss, J = ∂z/∂θ, and c comes from the closure's
/// reduction (1 for a sum, 1/N for a mean). Any loss that is a function of the outputs will do: ∇²_z ℓ·w is Burn's
/// gradient of ⟨∇_z ℓ, w⟩ in output space. The recorded program is checked to ensure that the parameters reach the loss
/// only through the outputs.
///
/// G is self-adjoint, and positive semidefinite if the loss is convex in the outputs (cross-entropy, squared error). It
/// differs from the Hessian by the curvature of the network, Σ ∂ℓ/∂z·∇²z, and equals it where z is linear in θ.
///
/// # Cost
/// 0.3 to 0.6 gradients per product, and once per (θ, batch) about half a gradient more. Products are not read back from
/// the device: a product that is not finite is reported by the solver.
///
/// # References
/// Schraudolph 2002, *Fast curvature matrix-vector products for second-order gradient descent*, section 3. Martens
/// 2010, *Deep learning via Hessian-free optimization*, section 4.2.
///
/// # Example
/// For z = x w and the loss ½ mean (z − y)², G = xᵀx / n.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{GaussNewton, LinearOperator, Objective};
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
/// let y = Tensor::<2>::from_floats([[1.0], [0.0]], &device);
///
/// let objective = Objective::capture(&model, (x, y), |model, (x, y)| {
///     let z = x.matmul(model.w.val());
///     (z.clone(), (z - y).powf_scalar(2.0).mean() * 0.5) // outputs, then the loss
/// })?;
/// let v = objective.parameters().space().vector(&[1.0, 0.0])?;
/// assert_eq!(GaussNewton::new(&objective)?.apply(&v)?.to_vec()?, [5.0, 7.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct GaussNewton<B: AutodiffBackend = DefaultBackend> {
    objective: Objective<B>,
    product: PreparedProduct<B>,
}

objective_operator!(GaussNewton);

impl<B: AutodiffBackend> GaussNewton<B> {
    /// The Gauss-Newton matrix at the objective's parameters, on its batches.
    ///
    /// # Errors
    /// [`DeriveError::NoOutputs`](crate::errors::DeriveError::NoOutputs) if the captured closure returned the loss alone,
    /// [`DeriveError::UnusedOutputs`](crate::errors::DeriveError::UnusedOutputs),
    /// [`ObjectiveError::Bypass`](crate::errors::ObjectiveError::Bypass) if parameters reach the loss other than
    /// through the outputs.
    #[inline(never)]
    pub fn new(objective: &Objective<B>) -> Result<Self, Error> {
        Ok(Self { objective: objective.clone(), product: objective.product(Product::GaussNewton)? })
    }

    /// The Gauss-Newton matrix of the objective plus the weight decay ½·decay·‖θ‖²: G + decay·I.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`OperatorError::Factor`](crate::errors::OperatorError::Factor) if `decay` is not finite.
    pub fn with_weight_decay(
        objective: &Objective<B>,
        decay: f64,
    ) -> Result<Sum<Self, Scaled<Identity<B>>>, Error> {
        let identity = Identity::new(objective.parameters().space())?.scaled(decay)?;
        Self::new(objective)?.plus(identity)
    }
}
