//! Kronecker-factored approximate curvature (K-FAC) of unmodified models. Depends on objectives and their layers;
//! independent of solvers.
//!
//! The recorded program shows which products have a parameter as their right operand. Those are the layers: nothing in the
//! model is changed or registered. `layers` finds them, `network` turns them into blocks, `collector` computes their second
//! moments with the programs of `program`, `factor` keeps the moments on the device, and `matrix` is their algebra on the
//! host.

mod assembled;
mod block;
mod collector;
mod config;
mod coverage;
mod device_inverse;
mod ekfac;
mod error;
mod factor;
mod fisher;
mod gradient;
mod inverse;
mod inversion;
mod layer;
mod layers;
mod matrix;
mod moments;
mod network;
mod pass;
mod program;
mod reach;
mod samples;
mod saved;
mod state;
#[cfg(test)]
mod tests;
mod uncovered;

pub use assembled::BlockComparison;
pub use config::{EmbeddingPolicy, KfacApproximation, KfacConfig, UncoveredPolicy};
pub use coverage::{CoverageEntry, KfacCoverage, Treatment, WeightSharing};
pub use ekfac::Ekfac;
pub use error::KfacError;
pub use factor::KroneckerFactor;
pub use fisher::KfacFisher;
pub use inversion::{FactorInversion, InversionPlace, InversionReport, KfacInversion};
pub use layer::{EkfacLayer, FactorSpectrum, KfacLayer};
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
use assembled::{Assembled, assembled, compare};
use block::Network;

/// K-FAC: the Fisher matrix as a Kronecker product per layer, with zeros between layers.
///
/// ```text
/// F ≈ diag over layers of A ⊗ G      A = E[ā āᵀ],  ā the layer's input with a one for the bias
///                                    G = c·Σ g gᵀ,  g = ∂(−log p)/∂(the layer's output)
/// ```
///
/// Layers are found in the recorded program: linear layers with any number of leading dimensions, convolutions in one to
/// three dimensions with groups, embeddings (A is a diagonal unless places are reduced), and the projections inside
/// attention and recurrent cells. [`UncoveredPolicy`] decides about all other parameters: their exact block of the Fisher
/// matrix, an estimate of its diagonal, or an error. None is dropped. c is that of [`Fisher`](crate::Fisher), so A ⊗ G
/// approximates the Gauss-Newton matrix of the negative log-likelihood on the same scale.
///
/// By default expensive parts are **estimates** by random draws: G of a model with more than three outputs or four
/// classes, from drawn targets ([`KfacFisher::ExactWhereCheap`]), and the block of a parameter without a layer, by an
/// estimate of its diagonal where the exact block is expensive. [`coverage`](Self::coverage) reports both
/// ([`KfacCoverage::estimated`], [`KfacCoverage::fisher`]).
///
/// K-FAC is exact for a single sample, and for deep linear networks with a Gaussian likelihood.
///
/// # Cost
///
/// - Construction: a forward pass, at most three backward passes by default (one per draw, or with
///   [`KfacFisher::Exact`] one per output, and one fewer for classes), and the second moments. The first construction for a
///   recording takes another forward pass and two backward passes, which check the samples. The moments stay on the
///   device; they are read once, when a decomposition, their entries or the state is requested.
/// - A product: two matrix products per layer.
/// - [`inverse`](Self::inverse): two eigendecompositions per layer, which are kept.
///   [`factored_inverse`](Self::factored_inverse): two Cholesky decompositions per layer. Both run on the host in f64;
///   on a GPU the second runs on the device for large layers. See [`KfacInversion`].
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
/// use burn::{nn, prelude::*};
/// use burn_curvature::{KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = nn::LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = model.forward(x);
///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let likelihood = Likelihood::Gaussian { variance: 1.0 };
/// let objective = objective.reduced_by(Reduction::Sum)?;
/// let kfac = KfacConfig::new().init(&objective, likelihood)?;
/// let v = objective.parameters().space().vector(&[1.0, 0.0])?;
/// assert_eq!(kfac.apply(&v)?.to_vec()?, [1.0, 2.0]);
///
/// for layer in kfac.layers() {
///     assert_eq!(layer.weight(), "weight");
///     assert_eq!(layer.input().values()?, [1.0, 2.0, 2.0, 4.0]); // A = x xᵀ
///     assert!((layer.input().spectrum()?.largest - 5.0).abs() < 1e-12);
///     assert_eq!(layer.trace()?, 5.0);
///     assert!((layer.balance()?[0] - 2.5_f64.sqrt()).abs() < 1e-12); // π
/// }
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
        let sides = |block: &KfacLayer<B>| ([block.input.side(), block.output.side()], None);
        Ok(Self(Assembled::new(space, network, blocks, sides)?))
    }

    /// The layers with their factors, in order of execution. See the example of [`Kfac`].
    pub fn layers(&self) -> &[KfacLayer<B>] {
        self.0.layers()
    }

    /// The exact blocks or estimated diagonals of the parameters that belong to no layer, with their names.
    pub fn uncovered(&self) -> impl Iterator<Item = (&str, &KroneckerFactor<B>)> {
        self.0.uncovered().map(|(name, block)| (name, &block.input))
    }
}
