//! Configuration of K-FAC.

use burn::config::Config;
use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Ekfac, Kfac, KfacCollector, KfacFisher};
use crate::{
    derive::Likelihood,
    error::Error,
    objective::{Objective, ValueAndGradient},
    seeds::Seeds,
};

/// How to treat a weight that is used at several places of a sample: positions of a sequence or an image, time steps, tied
/// layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KfacApproximation {
    /// Every place counts as a sample. Exact for deep linear networks with a loss at every place.
    #[default]
    Expand,
    /// Inputs are averaged over the places and gradients summed, before second moments are taken. Exact for deep linear
    /// networks whose outputs are averaged over the places. An embedding counts as a linear layer of one-hot inputs, see
    /// [`EmbeddingPolicy`].
    Reduce,
}

/// How [`KfacApproximation::Reduce`] treats embeddings that are used at several places of a sample.
///
/// ```text
/// reduced:   A = E[ē ēᵀ],  ē the share of a sample's places that use each row      a full matrix
/// expanded:  A = E[e eᵀ],  e the one-hot input at a single place                             a diagonal
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EmbeddingPolicy {
    /// They are reduced like other layers. A is then a full matrix with a row for each row of the table, so the table must
    /// not be too large.
    Whole {
        /// Largest number of rows of an embedding.
        limit: usize,
    },
    /// They are expanded although other layers are reduced, and A is a diagonal. This is not exact where reduction is; the
    /// coverage report shows it.
    Expand,
}

/// How to treat parameters that are not the weight or bias of a linear layer, a convolution or an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UncoveredPolicy {
    /// The exact block of the Fisher matrix, for parameters up to a size. The matrix is the empirical one for
    /// [`KfacFisher::Empirical`], the one of the sampled targets for [`KfacFisher::MonteCarlo`], and the exact one otherwise.
    ///
    /// Most blocks are cheap: the passes that the factors take anyway also give the gradients of single samples with
    /// respect to the parameter. This holds for parameters that are broadcast to the samples (and for functions of
    /// them, element by element), biases of several layers, tables that are looked up once and added to all samples,
    /// and weights that are used in several ways. Any other block takes one product with the Fisher matrix for each
    /// element. An example is a layer whose inputs are the same for all samples, with an activation behind it.
    ExactBlock {
        /// Largest number of elements of a parameter.
        limit: usize,
    },
    /// An estimate of the diagonal of the block, for parameters of any size.
    ///
    /// ```text
    /// diag F ≈ c·mean over probes of (JᵀS r)∘(JᵀS r)      S Sᵀ = F_z, r random signs for every output
    /// ```
    ///
    /// It is unbiased and never negative, and takes one backward pass per probe. The error of each entry falls as 1/√probes.
    /// Over a data set it also falls with the number of batches, since each has its own signs.
    ///
    /// With [`KfacFisher::Empirical`] the matrix is the empirical one, and each sample has one random sign. In all other cases
    /// it is the exact one, since sampled targets would only add noise.
    ///
    /// A weight that is used in several ways has no single Kronecker product. An example is an embedding that is also the
    /// transposed output projection. This estimate is unbiased for it, and includes the terms between its uses.
    Diagonal {
        /// Backward passes per batch, at least 1.
        probes: usize,
        /// Seed of the signs.
        seed: u64,
    },
    /// The exact block where it is cheap, otherwise **an estimate** of its diagonal by random draws. The default.
    ///
    /// A block is cheap if the passes of the factors give the gradients of single samples (see
    /// [`ExactBlock`](Self::ExactBlock)), or if the parameter has no more elements than there are probes. The other
    /// parameters are treated as by [`Diagonal`](Self::Diagonal): with two probes and one batch the standard error of
    /// an entry is up to 1.0 of its size, and the rest of the block is left out.
    /// [`KfacCoverage::estimated`](crate::kfac::KfacCoverage::estimated) lists them. Choose
    /// [`ExactBlock`](Self::ExactBlock) or [`Refuse`](Self::Refuse) where an estimate is not acceptable. Parameters above the
    /// limit are refused.
    ExactWhereCheap {
        /// Largest number of elements of a parameter.
        limit: usize,
        /// Backward passes per batch for the estimate, at least 1.
        probes: usize,
        /// Seed of the signs.
        seed: u64,
    },
    /// An error that names the first such parameter.
    Refuse,
}

impl UncoveredPolicy {
    /// Probes and seed of the estimate for a parameter whose gradients of single samples are not known; `None` for an
    /// exact block.
    pub(super) fn estimate(self, elements: usize) -> Option<(usize, u64)> {
        match self {
            Self::Diagonal { probes, seed } => Some((probes, seed)),
            Self::ExactWhereCheap { probes, seed, .. } if elements > probes => Some((probes, seed)),
            Self::ExactBlock { .. } | Self::ExactWhereCheap { .. } | Self::Refuse => None,
        }
    }

    /// Largest number of elements of a parameter, if there is a limit.
    pub(super) fn limit(self) -> Option<usize> {
        match self {
            Self::ExactBlock { limit } | Self::ExactWhereCheap { limit, .. } => Some(limit),
            Self::Diagonal { .. } => None,
            Self::Refuse => Some(0),
        }
    }

    /// The same with signs of their own for one of several steps; unchanged if nothing is drawn.
    fn at_step(mut self, step: usize) -> Self {
        if let Self::Diagonal { seed, .. } | Self::ExactWhereCheap { seed, .. } = &mut self {
            *seed = Seeds::at(*seed, step as u64);
        }
        self
    }
}

/// Configuration of [`Kfac`](crate::Kfac) and [`Ekfac`](crate::Ekfac).
///
/// | field | default | purpose |
/// |---|---|---|
/// | `fisher` | exact where that takes at most 3 backward passes, otherwise an *estimate* by 2 drawn targets for each sample | source of the output gradients |
/// | `approximation` | [`KfacApproximation::Expand`] | weights that are used at several places |
/// | `embeddings` | reduced up to 2048 rows | embeddings where other weights are reduced |
/// | `uncovered` | exact blocks where they are cheap, otherwise an *estimate* of the diagonal by 2 random draws; refused above 1024 elements | parameters that belong to no layer |
///
/// So the defaults of `fisher` and `uncovered` estimate what is expensive.
/// [`KfacCoverage::estimated`](crate::kfac::KfacCoverage::estimated) lists the parameters concerned, and
/// [`KfacCoverage::fisher`](crate::kfac::KfacCoverage::fisher) says whether targets were drawn. [`KfacFisher::Exact`]
/// with [`UncoveredPolicy::ExactBlock`] or [`UncoveredPolicy::Refuse`] estimates nothing.
#[derive(Config, Copy, Debug, PartialEq, Eq)]
pub struct KfacConfig {
    /// Source of the output gradients. The default draws targets where the exact matrix is expensive.
    #[config(default = "KfacFisher::default()")]
    pub fisher: KfacFisher,
    /// How weights that are used at several places are treated.
    #[config(default = "KfacApproximation::Expand")]
    pub approximation: KfacApproximation,
    /// How [`KfacApproximation::Reduce`] treats embeddings.
    #[config(default = "EmbeddingPolicy::Whole { limit: 2048 }")]
    pub embeddings: EmbeddingPolicy,
    /// How parameters that belong to no layer are treated. The default estimates a diagonal where an exact block is
    /// expensive.
    #[config(default = "UncoveredPolicy::ExactWhereCheap { limit: 1024, probes: 2, seed: 0 }")]
    pub uncovered: UncoveredPolicy,
}

impl KfacConfig {
    /// The defaults where factors are computed once for a trained model: exact up to 128 backward passes. A hundred passes cost as
    /// much as a few dozen epochs, and the noise of drawn targets would remain in all that is computed from the factors.
    pub(crate) fn for_a_trained_model() -> Self {
        Self::new().with_fisher(KfacFisher::exact_up_to(128))
    }

    /// The same with draws of their own for one of several steps.
    #[must_use]
    pub(crate) fn at_step(mut self, step: usize) -> Self {
        self.fisher = self.fisher.at_step(step);
        self.uncovered = self.uncovered.at_step(step);
        self
    }

    /// K-FAC at the objective's parameters, over its batches.
    ///
    /// # Errors
    /// Those of [`Fisher::exact`](crate::Fisher::exact);
    /// [`KfacError::Places`](crate::errors::KfacError::Places),
    /// [`KfacError::Samples`](crate::errors::KfacError::Samples),
    /// [`KfacError::OtherNetwork`](crate::errors::KfacError::OtherNetwork),
    /// [`KfacError::Vocabulary`](crate::errors::KfacError::Vocabulary),
    /// [`KfacError::Uncovered`](crate::errors::KfacError::Uncovered) and
    /// [`LikelihoodError::NoDraws`](crate::errors::LikelihoodError::NoDraws) for what a configuration does not cover;
    /// [`KfacError::NonFinite`](crate::errors::KfacError::NonFinite).
    #[inline(never)]
    pub fn init<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        likelihood: Likelihood,
    ) -> Result<Kfac<B>, Error> {
        let collector = KfacCollector::new(objective, likelihood, self)?;
        let uncovered = collector.uncovered(objective)?;
        let factors = collector.factors(objective)?;
        collector.expect_finite(&factors)?;
        collector.kfac(objective, factors, uncovered)
    }

    /// K-FAC, and ℒ(θ) with its gradient, by one program that shares the forward pass (and for [`KfacFisher::Empirical`] the
    /// backward pass).
    ///
    /// # Errors
    /// As [`init`](Self::init); a loss or gradient that is NaN or infinite.
    ///
    /// # Example
    ///
    /// ½z² for z = w x with w = 2 and x = 3: the gradient is 18, the curvature 9.
    ///
    /// ```
    /// use burn::{nn, prelude::*};
    /// use burn_curvature::{KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = nn::LinearConfig::new(1, 1).with_bias(false);
    /// let model = model.with_initializer(nn::Initializer::Constant { value: 2.0 }).init(&device);
    /// let x = Tensor::<2>::from_floats([[3.0]], &device);
    /// let objective = Objective::capture(&model, x, |model, x| {
    ///     let z = model.forward(x);
    ///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
    /// })?;
    /// let likelihood = Likelihood::Gaussian { variance: 1.0 };
    /// let objective = objective.reduced_by(Reduction::Sum)?;
    /// let (kfac, at) = KfacConfig::new().init_with_gradient(&objective, likelihood)?;
    /// assert_eq!(at.value, 18.0);
    /// assert_eq!(at.gradient.to_vec()?, [18.0]);
    /// let step = kfac.inverse(0.0)?.apply(&at.gradient)?;
    /// assert!((step.to_vec()?[0] - 2.0).abs() < 1e-5); // to the minimum
    /// # Ok(())
    /// # }
    /// ```
    #[inline(never)]
    pub fn init_with_gradient<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        likelihood: Likelihood,
    ) -> Result<(Kfac<B>, ValueAndGradient<B>), Error> {
        let collector = KfacCollector::new(objective, likelihood, self)?;
        let (at, [factors, uncovered]) = collector.gradient_and_all_factors(objective)?;
        at.gradient.expect_finite("the gradient")?;
        collector.expect_finite(&factors)?;
        Ok((collector.kfac(objective, factors, uncovered)?, at))
    }

    /// EKFAC, bases and diagonal, at the objective's parameters, over its batches.
    ///
    /// # Errors
    /// As [`init`](Self::init); [`KfacError::NoDiagonal`](crate::errors::KfacError::NoDiagonal) for
    /// [`KfacFisher::ForwardOnly`].
    #[inline(never)]
    pub fn init_ekfac<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        likelihood: Likelihood,
    ) -> Result<Ekfac<B>, Error> {
        Ekfac::from_kfac(&self.init(objective, likelihood)?, objective, likelihood, self)
    }
}

impl Default for KfacConfig {
    fn default() -> Self {
        Self::new()
    }
}
