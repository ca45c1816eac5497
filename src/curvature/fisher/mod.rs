//! Fisher information: exact, Monte-Carlo, and "empirical" (not a Fisher matrix in the strict sense).

mod empirical;

pub use empirical::EmpiricalFisher;

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::objective_operator;
use crate::{
    derive::{Likelihood, LikelihoodError, Metric, Product},
    error::Error,
    objective::{Objective, PreparedProduct},
    operator::{FiniteSum, LinearOperator, SelfAdjoint},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

/// The Fisher information matrix of a model's predictive distribution as a linear operator.
///
/// ```text
/// F = c·Σₙ E_{y ~ p(y|zₙ)} [∇_θ log p(y|zₙ) ∇_θ log p(y|zₙ)ᵀ] = c·Σₙ Jₙᵀ F_z(zₙ) Jₙ
/// ```
///
/// z are the outputs that the captured closure returned besides the loss; F_z is their Fisher matrix, Jₙ = ∂zₙ/∂θ. c is
/// that of the loss: 1 for [`Reduction::Sum`](crate::Reduction::Sum), 1/N for
/// [`Reduction::Mean`](crate::Reduction::Mean) with N the size of the outputs' first dimension, and for a
/// [`Loss`](crate::Loss) the reciprocal of its count or weight. The log-likelihood of a sample is the sum over its
/// other dimensions. F is self-adjoint and positive semidefinite.
///
/// The loss must be the negative log-likelihood up to terms that are linear in z: the curvatures of both in the space of
/// outputs are compared on every batch, at the cost of the loss's own operations. For a loss that is meant to differ, use
/// [`Objective::without_loss_check`].
///
/// [`exact`](Self::exact) takes the expectation in closed form, and equals the [`GaussNewton`](crate::GaussNewton)
/// matrix of the negative log-likelihood. [`monte_carlo`](Self::monte_carlo) draws targets from the model.
///
/// # Cost
/// 0.3 to 0.6 gradients per product, and once per (θ, batch) about half a gradient more.
///
/// # References
/// Martens 2020, *New insights and perspectives on the natural gradient method*, sections 5 and 9.
///
/// # Example
/// One logit z = w and p = σ(z) = ½: F = p(1 − p) = ¼.
///
/// ```
/// use burn::{module::Param, nn::loss::BinaryCrossEntropyLossConfig, prelude::*};
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
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = x.matmul(model.w.val());
///     let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&z.device());
///     (z.clone(), loss.forward(z, Tensor::<2, Int>::zeros([8, 1], &model.w.device())))
/// })?;
/// let objective = objective.reduced_by(Reduction::Mean)?;
/// let fisher = Fisher::exact(&objective, Likelihood::Bernoulli)?;
/// let one = objective.parameters().space().ones();
/// assert_eq!(fisher.apply(&one)?.to_vec()?, [0.25]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Fisher<B: AutodiffBackend = DefaultBackend> {
    objective: Objective<B>,
    product: PreparedProduct<B>,
}

objective_operator!(Fisher);

impl<B: AutodiffBackend> Fisher<B> {
    /// The exact Fisher matrix of a likelihood.
    ///
    /// # Errors
    /// [`DeriveError::NoOutputs`](crate::errors::DeriveError::NoOutputs) if the captured closure returned the loss alone;
    /// [`LikelihoodError::Unfit`] for a variance that is not positive or outputs without a dimension of classes;
    /// [`LikelihoodError::LossIsNotLikelihood`] for a loss of another likelihood or reduction;
    /// [`ObjectiveError::NoReduction`](crate::errors::ObjectiveError::NoReduction) before [`Objective::reduced_by`].
    #[inline(never)]
    pub fn exact(objective: &Objective<B>, likelihood: Likelihood) -> Result<Self, Error> {
        objective.expect_likelihood(likelihood)?;
        let reduction = objective.stated_reduction()?;
        let kind = Product::Fisher(Metric::Exact(likelihood.family()));
        let scale = likelihood.scale();
        let product =
            objective.product(kind)?.with_factor(move |part| scale * part.share(reduction));
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
    /// As [`exact`](Self::exact); [`LikelihoodError::NoDraws`] for no draw, [`LikelihoodError::TooManyDraws`].
    #[inline(never)]
    pub fn monte_carlo(
        objective: &Objective<B>,
        likelihood: Likelihood,
        draws: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        if draws == 0 {
            return Err(LikelihoodError::NoDraws.into());
        }
        objective.expect_likelihood(likelihood)?;
        let reduction = objective.stated_reduction()?;
        let kind = Product::Fisher(Metric::Drawn { family: likelihood.family(), draws });
        let product =
            objective.product(kind)?.with_factor(move |part| part.share(reduction)).with_noise(
                Arc::new(move |batch, outputs| Ok(likelihood.noise(outputs, draws, seed, batch)?)),
            );
        Ok(Self { objective: objective.clone(), product })
    }
}
