//! Configuration of K-FAC.

use burn::config::Config;
use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Ekfac, Kfac, KfacCollector};
use crate::{
    derive::Likelihood,
    error::Error,
    objective::{Objective, ValueAndGradient},
};

/// Where the gradients of the layers' outputs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KfacFisher {
    /// The exact Fisher matrix in output space, by the columns of its square root: as many backward passes as there are
    /// outputs. No randomness ('type 2'). All samples of a batch are propagated back together, so that their gradients
    /// are distinguished by their rows only. Layers whose rows reach several rows of the outputs are refused, such as those
    /// of a language model, where attention mixes the places of a sequence, and those before a batch normalization in
    /// training mode.
    #[default]
    Exact,
    /// Targets sampled from the model: one backward pass per draw.
    MonteCarlo {
        /// Targets per sample, at least 1.
        draws: usize,
        /// Seed of the draws.
        seed: u64,
    },
    /// Uses the targets in the data (the empirical Fisher), one gradient for each index of the outputs' first dimension.
    /// Layers whose rows reach several of them are refused. The captured loss must use the stated reduction.
    Empirical,
    /// No gradients: G = I (Benzing 2022, 'FOOF').
    ForwardOnly,
}

/// How a weight is treated that is used at several places of a sample: positions of a sequence or an image, time steps,
/// tied layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KfacApproximation {
    /// Every place counts as a sample. Exact for deep linear networks with a loss at every place.
    #[default]
    Expand,
    /// Inputs are averaged and gradients summed over the places first. Exact for deep linear networks whose outputs are
    /// averaged over the places. An embedding is a linear layer of one-hot inputs, see [`EmbeddingPolicy`].
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
    /// They are reduced like other layers: A is a full matrix that is inverted or decomposed, which limits the number of
    /// rows.
    Whole {
        /// Largest number of rows of an embedding.
        limit: usize,
    },
    /// They are expanded even though other layers are reduced: A is a diagonal. Not exact where reduction is; the coverage
    /// report shows it.
    Expand,
}

/// How parameters are treated that are not the weight or bias of a linear layer, a convolution or an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UncoveredPolicy {
    /// Their exact block of the Fisher matrix, for parameters up to a size: of the empirical one for
    /// [`KfacFisher::Empirical`], of that with sampled targets for [`KfacFisher::MonteCarlo`], and of the exact one for
    /// [`KfacFisher::ForwardOnly`].
    ///
    /// Parameters that are broadcast to the samples take no pass of their own, nor do biases of several layers, tables that
    /// are looked up once and added to all samples, and weights that are used in several ways: their gradients by single
    /// samples come out of the passes of the factors. For others, such as a layer of inputs that no sample changes and with an
    /// activation behind it, the cost is a product with the Fisher matrix for each element.
    ExactBlock {
        /// Largest number of elements of a parameter.
        limit: usize,
    },
    /// An estimate of the diagonal of their block, for parameters of any size.
    ///
    /// ```text
    /// diag F ≈ c·mean over probes of (JᵀS r)∘(JᵀS r)      S Sᵀ = F_z, r random signs for every output
    /// ```
    ///
    /// Unbiased and never negative; the error of each entry falls as 1/√probes, and over a data set also with the number
    /// of batches, each of which has its own signs. One backward pass per probe. This estimates the true Fisher matrix
    /// for [`KfacFisher::Exact`], and also for [`KfacFisher::MonteCarlo`] and [`KfacFisher::ForwardOnly`]: sampled
    /// targets would only add noise. For [`KfacFisher::Empirical`] it is the diagonal of the empirical one, from the
    /// gradients of the samples with one random sign each.
    ///
    /// A weight that is used in several ways, such as an embedding that is also the transposed output projection, has no
    /// single Kronecker product; this diagonal is right for it, including the terms between its uses.
    Diagonal {
        /// Backward passes per batch, at least 1.
        probes: usize,
        /// Seed of the signs.
        seed: u64,
    },
    /// An error that names them.
    Refuse,
}

/// Configuration of [`Kfac`](crate::Kfac) and [`Ekfac`](crate::Ekfac).
///
/// | field | default | purpose |
/// |---|---|---|
/// | `fisher` | [`KfacFisher::Exact`] | source of the output gradients |
/// | `approximation` | [`KfacApproximation::Expand`] | weights that are used at several places |
/// | `embeddings` | reduced up to 2048 rows | embeddings where other weights are reduced |
/// | `uncovered` | exact blocks up to 1024 elements | parameters that belong to no layer |
#[derive(Config, Copy, Debug, PartialEq, Eq)]
pub struct KfacConfig {
    /// Source of the output gradients.
    #[config(default = "KfacFisher::Exact")]
    pub fisher: KfacFisher,
    /// How weights that are used at several places are treated.
    #[config(default = "KfacApproximation::Expand")]
    pub approximation: KfacApproximation,
    /// How [`KfacApproximation::Reduce`] treats embeddings.
    #[config(default = "EmbeddingPolicy::Whole { limit: 2048 }")]
    pub embeddings: EmbeddingPolicy,
    /// How parameters that belong to no layer are treated.
    #[config(default = "UncoveredPolicy::ExactBlock { limit: 1024 }")]
    pub uncovered: UncoveredPolicy,
}

impl KfacConfig {
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

    /// K-FAC, and ℒ(θ) with its gradient, by one program: the forward pass is done once, and so is the backward pass for [`KfacFisher::Empirical`].
    ///
    /// # Errors
    /// As [`init`](Self::init); a loss or gradient that is NaN or infinite.
    ///
    /// # Example
    ///
    /// ½z² for z = w x with w = 2 and x = 3: the gradient is 18, the curvature 9.
    ///
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::{KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
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
        let uncovered = collector.uncovered(objective)?;
        let (at, factors) = collector.gradient_and_factors(objective)?;
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
