//! The empirical Fisher matrix.

use burn_backend::AutodiffBackend;

use super::objective_operator;
use crate::{
    derive::{Metric, Product},
    error::Error,
    objective::{Objective, PreparedProduct},
    operator::{FiniteSum, LinearOperator, SelfAdjoint},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

/// The empirical Fisher matrix: the second moment of the samples' gradients, with the targets of the data.
///
/// ```text
/// E = c·Σₙ ∇_θ ℓₙ ∇_θ ℓₙᵀ
/// ```
///
/// c = 1 for [`Reduction::Sum`](crate::Reduction::Sum) and 1/N for [`Reduction::Mean`](crate::Reduction::Mean), the
/// reduction stated by [`Objective::reduced_by`]; N is the size of the outputs' first dimension. For a
/// [`Loss`](crate::Loss), ℓₙ is the sample's part of its sum, and c the reciprocal of its count or weight. The loss of a
/// sample must depend on that sample's outputs only.
///
/// It is *not* the Fisher matrix, whose targets come from the model ([`Fisher`](crate::Fisher)), nor a curvature of
/// the loss: it vanishes where all samples are fitted.
///
/// # Cost
/// As [`Fisher`](crate::Fisher).
///
/// # References
/// Kunstner, Balles & Hennig 2019, *Limitations of the empirical Fisher approximation for natural gradient descent*.
///
/// # Example
/// For z = w and ℓ = ½(z − y)², ∇ℓₙ = w − yₙ.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{EmpiricalFisher, LinearOperator, Objective, Reduction};
///
/// #[derive(Module, Debug)]
/// struct Mean {
///     w: Param<Tensor<2>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Mean { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
/// let y = Tensor::<2>::from_floats([[1.0], [3.0]], &device);
///
/// let objective = Objective::capture(&model, y, |model, y| {
///     let z = model.w.val().expand(y.dims());
///     (z.clone(), (z - y).powf_scalar(2.0).mean() * 0.5)
/// })?;
/// let empirical = EmpiricalFisher::new(&objective.reduced_by(Reduction::Mean)?)?;
/// let one = objective.parameters().space().ones();
/// assert_eq!(empirical.apply(&one)?.to_vec()?, [5.0]); // (1 + 9) / 2
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EmpiricalFisher<B: AutodiffBackend = DefaultBackend> {
    objective: Objective<B>,
    product: PreparedProduct<B>,
}

objective_operator!(EmpiricalFisher);

impl<B: AutodiffBackend> EmpiricalFisher<B> {
    /// The empirical Fisher matrix at the objective's parameters, on its batches.
    ///
    /// # Errors
    /// As [`GaussNewton::new`](crate::GaussNewton::new);
    /// [`ObjectiveError::NoReduction`](crate::errors::ObjectiveError::NoReduction) before [`Objective::reduced_by`].
    #[inline(never)]
    pub fn new(objective: &Objective<B>) -> Result<Self, Error> {
        let reduction = objective.stated_reduction()?;
        let product = objective
            .product(Product::Fisher(Metric::Empirical))?
            .with_factor(move |part| part.share(reduction).recip());
        Ok(Self { objective: objective.clone(), product })
    }
}
