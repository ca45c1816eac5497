//! Kronecker-factored approximate curvature of unmodified models. Knows objectives and their layers, not solvers.
//!
//! The recorded program shows which products have a parameter as their right operand: those are the layers, with no
//! change to the model and no registration. `network` names them, `collect` takes their second moments, `factors` keeps
//! those on the device, `moment` and `spectra` are their algebra on the host, `view` shows them, `plan` how a layer's
//! weight and bias make a matrix, `blocks` and `map` the products on the device.

mod beside;
mod blocks;
mod collect;
mod compare;
mod config;
mod corrected;
mod coverage;
mod diagonal_estimate;
mod eigenvalue_corrected;
mod factors;
mod inverse;
mod layers;
mod map;
mod moment;
mod network;
mod outline;
mod parallel;
mod pass;
mod plan;
mod program;
mod spectra;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use compare::BlockComparison;
pub use config::{EmbeddingPolicy, KfacApproximation, KfacConfig, KfacFisher, UncoveredPolicy};
pub use coverage::{CoverageEntry, KfacCoverage, Treatment, WeightSharing};
pub use eigenvalue_corrected::Ekfac;
pub use map::KfacMap;
pub use spectra::{DampedRetry, RetriedMatrix};
pub use state::{EkfacState, KfacState};
pub use view::{EkfacLayer, FactorSpectrum, KfacLayer, KroneckerFactor};

use std::{fmt, sync::Arc};

use burn_backend::AutodiffBackend;

use crate::{
    derive::Likelihood,
    error::Error,
    objective::{Objective, ValueAndGradient},
    operator::{LinearOperator, SelfAdjoint},
    space::{ParamSpace, ParamVector},
};
#[allow(unused_imports, reason = "for optimizers that keep factors from step to step")]
pub(crate) use beside::ExactBlocks;
pub(crate) use collect::KfacCollector;
pub(crate) use corrected::CorrectedFactors;
#[allow(unused_imports, reason = "for optimizers that keep factors from step to step")]
pub(crate) use factors::DeviceFactors;
use factors::{HostFactors, LayerFactors};
use moment::Moment;
use network::Plans;

/// K-FAC: the Fisher matrix with a Kronecker product for every layer and nothing between layers.
///
/// ```text
/// F ≈ diag over layers of A ⊗ G      A = E[ā āᵀ],  ā the layer's input with a one for the bias
///                                    G = c·Σ g gᵀ,  g the derivative of −log p by the layer's output
/// ```
///
/// Layers are found in the recorded program: linear layers of any number of shared dimensions, convolutions in one to
/// three dimensions with groups, embeddings (A is a diagonal unless places are reduced), the projections inside attention
/// and recurrent cells. Parameters of other kinds get their exact block of the Fisher matrix, an estimate of its diagonal,
/// or are refused, by [`UncoveredPolicy`]; none is dropped. [`coverage`](Self::coverage) says what is made of each. c is that
/// of [`Fisher`](crate::Fisher), so that A ⊗ G approximates the Gauss-Newton matrix of the negative log-likelihood in the
/// same scale.
///
/// Exact for a single sample, and for deep linear networks with a Gaussian likelihood.
///
/// # Cost
///
/// Making it: a forward pass, a backward pass for every output ([`KfacFisher::Exact`]; one fewer for classes) or draw, and
/// the second moments. They stay on the device until a decomposition, a view or the state is asked for, which read them
/// once.
/// A product: two products of matrices a layer. [`inverse`](Self::inverse): two eigen-decompositions a layer,
/// [`factored_inverse`](Self::factored_inverse): two Cholesky decompositions a layer, on the host in f64.
///
/// # References
///
/// Martens & Grosse 2015, *Optimizing neural networks with Kronecker-factored approximate curvature*, sections 3 to 6.
/// Grosse & Martens 2016 (convolutions). Eschenhagen et al. 2023, *Kronecker-factored approximate curvature for modern
/// neural network architectures* (expand and reduce).
///
/// # Example
///
/// One linear layer and one sample x = (1, 2): F = x xᵀ ⊗ I, exactly.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Kfac, KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
///
/// #[derive(Module, Debug)]
/// struct Line {
///     w: Param<Tensor<2>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Line { w: Param::from_tensor(Tensor::zeros([2, 1], &device)) };
/// let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = x.matmul(model.w.val());
///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let likelihood = Likelihood::Gaussian { variance: 1.0 };
/// let objective = objective.reduced_by(Reduction::Sum)?;
/// let kfac = Kfac::new(&objective, likelihood, &KfacConfig::new())?;
/// let v = objective.parameters().space().vector(&[1.0, 0.0])?;
/// assert_eq!(kfac.apply(&v)?.to_vec()?, [1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
pub struct Kfac<B: AutodiffBackend> {
    like: ParamVector<B>,
    plans: Plans,
    layers: HostFactors<B>,
    /// Exact blocks of parameters that belong to no layer, by position.
    dense: Arc<[(usize, Moment)]>,
    coverage: KfacCoverage,
    map: KfacMap<B>,
}

impl<B: AutodiffBackend> Kfac<B> {
    /// The factors at the objective's parameters, over its batches.
    ///
    /// # Errors
    /// Those of [`Fisher::exact`](crate::Fisher::exact);
    /// [`OperatorError::KfacPlaces`](crate::OperatorError::KfacPlaces),
    /// [`OperatorError::KfacUnevenUses`](crate::OperatorError::KfacUnevenUses),
    /// [`OperatorError::KfacVocabulary`](crate::OperatorError::KfacVocabulary),
    /// [`OperatorError::KfacBeside`](crate::OperatorError::KfacBeside) and
    /// [`LikelihoodError::NoDraws`](crate::LikelihoodError::NoDraws) for what a configuration does not cover;
    /// [`OperatorError::NonFiniteFactor`](crate::OperatorError::NonFiniteFactor).
    pub fn new(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        let collector = KfacCollector::new(objective, likelihood, config)?;
        let beside = collector.exact_blocks(objective)?;
        let factors = collector.factors(objective)?;
        collector.expect_finite(objective, &factors)?;
        collector.kfac(objective, &factors, beside)
    }

    /// The factors, and ℒ(θ) with its gradient, by one program: the forward pass is done once, and the backward pass too
    /// for [`KfacFisher::Empirical`].
    ///
    /// # Errors
    /// As [`new`](Self::new); a loss or gradient that is NaN or infinite.
    ///
    /// # Example
    ///
    /// ½z² for z = w x with w = 2 and x = 3: the gradient is 18, the curvature 9.
    ///
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::{Kfac, KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
    ///
    /// #[derive(Module, Debug)]
    /// struct Line {
    ///     w: Param<Tensor<2>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = Line { w: Param::from_tensor(Tensor::full([1, 1], 2.0, &device)) };
    /// let x = Tensor::<2>::from_floats([[3.0]], &device);
    /// let objective = Objective::capture(&model, x, |model, x| {
    ///     let z = x.matmul(model.w.val());
    ///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
    /// })?;
    /// let likelihood = Likelihood::Gaussian { variance: 1.0 };
    /// let objective = objective.reduced_by(Reduction::Sum)?;
    /// let (kfac, at) =
    ///     Kfac::with_gradient(&objective, likelihood, &KfacConfig::new())?;
    /// assert_eq!(at.value, 18.0);
    /// assert_eq!(at.gradient.to_vec()?, [18.0]);
    /// let step = kfac.inverse(0.0)?.apply(&at.gradient)?;
    /// assert!((step.to_vec()?[0] - 2.0).abs() < 1e-5); // to the minimum
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_gradient(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<(Self, ValueAndGradient<B>), Error> {
        let collector = KfacCollector::new(objective, likelihood, config)?;
        let beside = collector.exact_blocks(objective)?;
        let (at, factors) = collector.gradient_and_factors(objective)?;
        at.gradient.expect_finite("the gradient")?;
        collector.expect_finite(objective, &factors)?;
        Ok((collector.kfac(objective, &factors, beside)?, at))
    }

    /// The factors on the host.
    fn factors(&self) -> Result<&[LayerFactors], Error> {
        self.layers.read(&self.plans, self.like.layout())
    }

    /// What is made of every parameter.
    pub fn coverage(&self) -> &KfacCoverage {
        &self.coverage
    }

    /// The block of one layer, on its weight and bias only: see [`KfacMap::layer`].
    ///
    /// # Errors
    /// [`OperatorError::NoSuchParameter`](crate::OperatorError::NoSuchParameter).
    pub fn layer(&self, parameter: &str) -> Result<KfacMap<B>, Error> {
        self.map.layer(parameter)
    }
}

impl<B: AutodiffBackend> Clone for Kfac<B> {
    fn clone(&self) -> Self {
        Self {
            like: self.like.clone(),
            plans: Arc::clone(&self.plans),
            layers: self.layers.clone(),
            dense: Arc::clone(&self.dense),
            coverage: self.coverage.clone(),
            map: self.map.clone(),
        }
    }
}

impl<B: AutodiffBackend> fmt::Debug for Kfac<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kfac")
            .field("parameters", &self.like.len())
            .field("layers", &self.plans.len())
            .finish_non_exhaustive()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Kfac<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.like.space()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.map.apply(vector)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Kfac<B> {}
