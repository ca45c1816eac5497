//! Kronecker-factored approximate curvature of unmodified models. Depends on objectives and their layers; independent of
//! solvers.
//!
//! The recorded program shows which products have a parameter as their right operand: those are the layers, with no
//! change to the model and no registration. `layers` finds them, `network` makes blocks of them, `collector` takes their
//! second moments by the programs of `program`, `factor` keeps those on the device, `matrix` is their algebra on the host.

mod assembled;
mod block;
mod collector;
mod compare;
mod config;
mod coverage;
mod device_inverse;
mod ekfac;
mod error;
mod factor;
mod inverse;
mod inversion;
mod layer;
mod layers;
mod matrix;
mod network;
mod pass;
mod program;
mod ranks;
mod reach;
mod samples;
mod state;
#[cfg(test)]
mod tests;
mod uncovered;

pub use compare::BlockComparison;
pub use config::{EmbeddingPolicy, KfacApproximation, KfacConfig, KfacFisher, UncoveredPolicy};
pub use coverage::{CoverageEntry, KfacCoverage, Treatment, WeightSharing};
pub use ekfac::Ekfac;
pub use error::KfacError;
pub use factor::{FactorSpectrum, KroneckerFactor};
pub use inversion::{FactorInversion, InversionPlace, InversionReport, KfacInversion};
pub use layer::{EkfacLayer, KfacLayer};
pub use samples::{SampleGradients, SampleScores};
pub use state::{EkfacState, KfacState};

pub(crate) use collector::{Factors, KfacCollector};
pub(crate) use uncovered::mean_squares;

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{Kronecker, LinearOperator, SelfAdjoint},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};
use assembled::{Assembled, assembled};
use block::{BlockProduct, Network};
use compare::compare;

/// K-FAC: the Fisher matrix as a Kronecker product per layer, with zeros between layers.
///
/// ```text
/// F ≈ diag over layers of A ⊗ G      A = E[ā āᵀ],  ā the layer's input with a one for the bias
///                                    G = c·Σ g gᵀ,  g the derivative of −log p by the layer's output
/// ```
///
/// Layers are found in the recorded program: linear layers of any number of shared dimensions, convolutions in one to
/// three dimensions with groups, embeddings (A is a diagonal unless places are reduced), the projections inside attention
/// and recurrent cells. Parameters of other kinds get their exact block of the Fisher matrix, an estimate of its diagonal,
/// or are refused, by [`UncoveredPolicy`]; none is dropped. [`coverage`](Self::coverage) reports how each is treated. c is
/// that of [`Fisher`](crate::Fisher), so that A ⊗ G approximates the Gauss-Newton matrix of the negative log-likelihood in the
/// same scale.
///
/// Exact for a single sample, and for deep linear networks with a Gaussian likelihood.
///
/// # Cost
///
/// Construction: a forward pass, a backward pass for every output ([`KfacFisher::Exact`]; one fewer for classes) or draw, and
/// the second moments; once per recording, a forward and a backward pass that check the samples. The moments stay on the device until a decomposition, their entries or the state is asked for, which read
/// them once.
/// A product: two matrix products per layer. [`inverse`](Self::inverse): two eigendecompositions per layer, which are
/// kept; [`factored_inverse`](Self::factored_inverse): two Cholesky decompositions per layer; both on the host in f64, but
/// the second for large layers of a GPU, see [`KfacInversion`].
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
/// use burn_curvature::{KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
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
/// let kfac = KfacConfig::new().init(&objective, likelihood)?;
/// let v = objective.parameters().space().vector(&[1.0, 0.0])?;
/// assert_eq!(kfac.apply(&v)?.to_vec()?, [1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Kfac<B: AutodiffBackend = DefaultBackend>(Assembled<B, KfacLayer<B>>);

assembled!(Kfac, "Kfac");

impl<B: AutodiffBackend> Kfac<B> {
    fn of_blocks(
        space: ParamSpace<B>,
        network: Arc<Network>,
        blocks: Vec<KfacLayer<B>>,
    ) -> Result<Self, Error> {
        let product =
            |block: &KfacLayer<B>| BlockProduct::Sides(block.input.side(), block.output.side());
        Ok(Self(Assembled::new(space, network, blocks, product)?))
    }

    /// The layers with their factors, in order of execution.
    ///
    /// # Example
    ///
    /// One sample x = (3, 4) of z = x W: A = x xᵀ with the eigenvalues 0 and 25.
    ///
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::{KfacConfig, Likelihood, Objective, Reduction};
    ///
    /// #[derive(Module, Debug)]
    /// struct Line {
    ///     w: Param<Tensor<2>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = Line { w: Param::from_tensor(Tensor::zeros([2, 1], &device)) };
    /// let x = Tensor::<2>::from_floats([[3.0, 4.0]], &device);
    /// let objective = Objective::capture(&model, x, |model, x| {
    ///     let z = x.matmul(model.w.val());
    ///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
    /// })?;
    /// let likelihood = Likelihood::Gaussian { variance: 1.0 };
    /// let objective = objective.reduced_by(Reduction::Sum)?;
    /// let kfac = KfacConfig::new().init(&objective, likelihood)?;
    /// for layer in kfac.layers() {
    ///     assert_eq!(layer.weight(), "w");
    ///     assert_eq!(layer.input().values()?, [9.0, 12.0, 12.0, 16.0]);
    ///     assert!((layer.input().spectrum()?.largest - 25.0).abs() < 1e-12);
    ///     assert_eq!(layer.trace()?, 25.0);
    ///     assert!((layer.balance()?[0] - 12.5_f64.sqrt()).abs() < 1e-12); // π
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn layers(&self) -> &[KfacLayer<B>] {
        self.0.layers()
    }

    /// The factors of uncovered parameters, exact blocks or estimated diagonals, with the parameters' names.
    pub fn uncovered(&self) -> impl Iterator<Item = (&str, &KroneckerFactor<B>)> {
        self.0.uncovered().map(|(name, block)| (name, &block.input))
    }
}
