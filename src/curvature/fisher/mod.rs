//! Fisher information: exact, by sampled targets, and the empirical one, which is none.

mod empirical;
mod likelihood;

pub use empirical::EmpiricalFisher;
pub use likelihood::Likelihood;

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::objective_operator;
use crate::{
    derive::Product,
    error::Error,
    objective::{Objective, PreparedProduct, Reduction},
    operator::{FiniteSum, LinearOperator, OperatorError, SelfAdjoint},
    space::{ParamSpace, ParamVector},
};

/// The Fisher information matrix of a model's predictive distribution as a linear operator.
///
/// ```text
/// F = c·Σₙ E_{y ~ p(y|zₙ)} [∇_θ log p(y|zₙ) ∇_θ log p(y|zₙ)ᵀ] = c·Σₙ Jₙᵀ F_z(zₙ) Jₙ
/// ```
///
/// z are the outputs that the traced closure returned beside the loss; what the loss is does not matter. c = 1 for
/// [`Reduction::Sum`] and 1/N for [`Reduction::Mean`], N the size of the outputs' first dimension; the log-likelihood of
/// a sample is the sum over its other dimensions. Self-adjoint and positive semi-definite.
///
/// [`exact`](Self::exact) takes the expectation in closed form, and equals the [`GaussNewton`](crate::GaussNewton)
/// matrix of the negative log-likelihood. [`monte_carlo`](Self::monte_carlo) draws targets from the model.
///
/// # Cost
///
/// Less than one gradient per product, and once per (θ, batch) about one more.
///
/// # References
///
/// Martens 2020, *New insights and perspectives on the natural gradient method*, sections 5 and 9.
///
/// # Example
///
/// One logit z = w and p = σ(z) = ½: F = p(1 − p) = ¼.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Fisher, Likelihood, LinearOperator, Objective, Reduction};
///
/// #[derive(Module, Debug)]
/// struct Logit {
///     w: Param<Tensor<2>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Logit { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
/// let x = Tensor::<2>::ones([8, 1], &device);
///
/// let objective = Objective::trace(&model, x, |model, x| {
///     let z = x.matmul(model.w.val());
///     (z.clone(), z.sum()) // only the outputs are used
/// })?;
/// let fisher = Fisher::exact(&objective, Likelihood::Bernoulli, Reduction::Mean)?;
/// let one = objective.parameters().space().ones();
/// assert_eq!(fisher.apply(&one)?.to_vec()?, [0.25]);
/// # Ok(())
/// # }
/// ```
pub struct Fisher<B: AutodiffBackend> {
    objective: Objective<B>,
    product: PreparedProduct<B>,
}

objective_operator!(Fisher);

impl<B: AutodiffBackend> Fisher<B> {
    /// The exact Fisher matrix of a likelihood.
    ///
    /// # Errors
    /// [`DeriveError::NoOutputs`](crate::DeriveError::NoOutputs) if the traced closure returned the loss alone;
    /// [`OperatorError::Likelihood`] for a variance that is not positive or outputs without a dimension of classes;
    /// [`ObjectiveError::OtherReduction`](crate::ObjectiveError::OtherReduction) over a data set of another reduction.
    pub fn exact(
        objective: &Objective<B>,
        likelihood: Likelihood,
        reduction: Reduction,
    ) -> Result<Self, Error> {
        likelihood.check(objective, reduction)?;
        let kind = likelihood.product();
        objective.derive_product(kind)?;
        let precision = likelihood.precision();
        let product = PreparedProduct::new(kind)
            .with_factor(move |part| precision * share(part.samples_of_outputs(), reduction));
        Ok(Self { objective: objective.clone(), product })
    }

    /// An estimate of the Fisher matrix from `draws` targets that are drawn from the model for every sample.
    ///
    /// ```text
    /// F ≈ c·Σₙ 1/S Σₛ gₙₛ gₙₛᵀ,      gₙₛ = ∇_θ log p(ŷₙₛ|zₙ),  ŷₙₛ ~ p(y|zₙ)
    /// ```
    ///
    /// Unbiased, with an error that falls as 1/√(N S); of rank at most N S. The same seed draws the same targets.
    ///
    /// # Errors
    /// As [`exact`](Self::exact); [`OperatorError::NoDraws`] for no draw.
    pub fn monte_carlo(
        objective: &Objective<B>,
        likelihood: Likelihood,
        reduction: Reduction,
        draws: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        if draws == 0 {
            return Err(OperatorError::NoDraws.into());
        }
        likelihood.check(objective, reduction)?;
        let kind = Product::Drawn(likelihood.draws(draws));
        objective.derive_product(kind)?;
        let product = PreparedProduct::new(kind)
            .with_factor(move |part| share(part.samples_of_outputs(), reduction))
            .with_noise(Arc::new(move |batch, outputs| {
                likelihood.noise(outputs, draws, seed, batch)
            }));
        Ok(Self { objective: objective.clone(), product })
    }
}

/// The c of a batch.
pub(crate) fn share(samples: usize, reduction: Reduction) -> f64 {
    match reduction {
        Reduction::Sum => 1.0,
        Reduction::Mean => 1.0 / samples.max(1) as f64,
    }
}
