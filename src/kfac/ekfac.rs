//! EKFAC: K-FAC's eigenbases with the optimal diagonal.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    BlockComparison, EkfacLayer, FactorSpectrum, Kfac, KfacCollector, KfacConfig, KfacCoverage,
    KfacError,
    assembled::{Assembled, assembled, compare},
    block::Network,
    factor::{expect_share, mixed},
    layer::Diagonal,
    matrix::norm,
};
use crate::{
    derive::Likelihood,
    error::Error,
    objective::Objective,
    operator::{
        BlockDiagonal, Kronecker, KroneckerSide, KroneckerSides, LinearOperator, SelfAdjoint,
        expect_damping,
    },
    parallel::map_each,
    space::{Inner, InnerFloat, ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

/// EKFAC: K-FAC's eigenbases with the eigenvalues that best fit the Fisher matrix.
///
/// ```text
/// F ≈ diag over layers of (U_A ⊗ U_G) diag(s) (U_A ⊗ U_G)ᵀ      s = c·Σ (coordinates of ∇ in U_A ⊗ U_G)²
/// ```
///
/// Here U_A and U_G are the eigenvectors of K-FAC's A and G, and ∇ is the gradient of a single sample with respect to a
/// layer, summed over the places at which the layer is used. For every layer the error in the Frobenius norm is at most
/// K-FAC's, and the trace is exact.
///
/// # Cost
///
/// The cost of [`Kfac`], an eigendecomposition of every factor, and the same passes again for the diagonal. A layer
/// that is used at several places takes one matrix of its size per sample and output. [`updated`](Self::updated) keeps
/// the bases. The diagonal stays on the device until its values are requested.
///
/// # References
///
/// George et al. 2018, *Fast approximate natural gradient descent in a Kronecker-factored eigenbasis*, section 3.
///
/// # Example
///
/// Two samples x = 1 and x = 3 of z = w x with the variance 1: F = 1² + 3², a matrix of one entry.
///
/// ```
/// use burn::{nn, prelude::*};
/// use burn_curvature::{KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = nn::LinearConfig::new(1, 1).with_bias(false).init(&device);
/// let x = Tensor::<2>::from_floats([[1.0], [3.0]], &device);
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = model.forward(x);
///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let likelihood = Likelihood::Gaussian { variance: 1.0 };
/// let objective = objective.reduced_by(Reduction::Sum)?;
/// let ekfac = KfacConfig::new().init_ekfac(&objective, likelihood)?;
/// let one = objective.parameters().space().ones();
/// assert_eq!(ekfac.apply(&one)?.to_vec()?, [10.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Ekfac<B: AutodiffBackend = DefaultBackend>(pub(super) Assembled<B, EkfacLayer<B>>);

assembled!(Ekfac, "Ekfac");

impl<B: AutodiffBackend> Ekfac<B> {
    /// K-FAC's bases with the diagonal at the objective's parameters, over its batches.
    ///
    /// # Errors
    /// As [`KfacConfig::init_ekfac`]; a [`Kfac`] of another model.
    #[inline(never)]
    pub fn from_kfac(
        kfac: &Kfac<B>,
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        Self::uncorrected(kfac)?.updated(objective, likelihood, config, 0.0)
    }

    /// K-FAC's bases with K-FAC's own eigenvalues: the same matrix.
    pub(crate) fn uncorrected(kfac: &Kfac<B>) -> Result<Self, Error> {
        let factors: Vec<_> = kfac.0.blocks.iter().flat_map(|block| block.factors()).collect();
        let made = map_each(&factors, |factor| factor.cost(), |factor| factor.eigen().map(drop));
        made.into_iter().collect::<Result<(), Error>>()?;
        let space = kfac.0.space.clone();
        let blocks = kfac.0.blocks.iter().map(|block| EkfacLayer::of_factors(block, &space));
        let blocks = blocks.collect::<Result<_, Error>>()?;
        Self::of_blocks(space, Arc::clone(&kfac.0.network), blocks)
    }

    pub(super) fn of_blocks(
        space: ParamSpace<B>,
        network: Arc<Network>,
        blocks: Vec<EkfacLayer<B>>,
    ) -> Result<Self, Error> {
        let sides = |block: &EkfacLayer<B>| block.sides(&space, |s| s);
        Ok(Self(Assembled::new(space.clone(), network, blocks, sides)?))
    }

    /// The same bases with the moving average decay·s + (1 − decay)·s' of the diagonal, where s' is the diagonal at the
    /// objective's parameters over its batches. Blocks of uncovered parameters stay as they are.
    ///
    /// # Errors
    /// As [`KfacConfig::init_ekfac`]; [`OperatorError::Factor`](crate::errors::OperatorError::Factor) for a decay outside 0 to 1.
    #[inline(never)]
    pub fn updated(
        &self,
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
        decay: f64,
    ) -> Result<Self, Error> {
        self.domain().layout().expect_same(objective.layout())?;
        let collector = KfacCollector::new(objective, likelihood, config)?;
        let updated = self.averaged(&collector, objective, decay)?;
        updated.expect_finite()?;
        Ok(updated)
    }

    /// [`updated`](Self::updated) without reading anything back.
    pub(crate) fn averaged(
        &self,
        collector: &KfacCollector,
        objective: &Objective<B>,
        decay: f64,
    ) -> Result<Self, Error> {
        expect_share(decay)?;
        let (space, bases) = (&self.0.space, self.bases_for(collector)?);
        let new = collector.diagonals(objective, &bases)?;
        let mut blocks = self.0.blocks.to_vec();
        for (layer, new) in blocks.iter_mut().take(self.0.network.layers).zip(new) {
            let old = layer.diagonal.device.clone();
            let diagonal = if decay == 0.0 { new } else { mixed::<B>(old, decay, new) };
            layer.diagonal = Diagonal::on_device(diagonal);
        }
        Self::of_blocks(space.clone(), Arc::clone(&self.0.network), blocks)
    }

    /// The bases that a collector's diagonals are computed in: none for an embedding whose places it does not reduce.
    fn bases_for(&self, collector: &KfacCollector) -> Result<Vec<InnerFloat<B>>, Error> {
        let (space, others) = (&self.0.space, collector.network.layers());
        let mut bases = Vec::new();
        for (at, layer) in self.layers().iter().enumerate() {
            let block = others.get(at).filter(|other| {
                let same = other.subset == layer.block.subset && other.matrix == layer.block.matrix;
                same && others.len() == self.layers().len()
            });
            let is_diagonal = block.map(|block| block.diagonal);
            match (is_diagonal, layer.input.side(space)) {
                (Some(true), KroneckerSide::Identity) => {}
                (Some(false), _) => bases.push(layer.input.written_out(space)),
                _ => {
                    let parameter = layer.weight().into();
                    return Err(KfacError::Configuration { parameter }.into());
                }
            }
            bases.push(layer.output.written_out(space));
        }
        Ok(bases)
    }

    /// Reads the diagonal.
    fn expect_finite(&self) -> Result<(), Error> {
        for layer in self.layers() {
            if !layer.diagonal()?.iter().all(|value| value.is_finite()) {
                let layer = format!("{} (corrected diagonal)", layer.weight());
                return Err(KfacError::NonFinite { layer }.into());
            }
        }
        Ok(())
    }

    /// The layers with their bases and diagonals, in order of execution.
    pub fn layers(&self) -> &[EkfacLayer<B>] {
        self.0.layers()
    }

    /// The eigenvalues of the blocks of uncovered parameters, with the parameters' names.
    pub fn uncovered_spectra(&self) -> impl Iterator<Item = (&str, FactorSpectrum)> {
        self.0.uncovered().map(|(name, block)| (name, block.input()))
    }

    /// (F̂ + λI)⁻¹
    ///
    /// # Errors
    /// [`OperatorError::Damping`](crate::errors::OperatorError::Damping) for a λ that is negative or not finite, [`KfacError::Singular`] for a
    /// λ of which the precision has no reciprocal, such as 0, if the diagonal contains a zero.
    #[inline(never)]
    pub fn inverse(&self, damping: f64) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        expect_damping(damping)?;
        let least = self.0.space.precision().smallest_normal();
        if damping < least {
            expect_invertible(&self.eigenvalues()?, damping, least)?;
        }
        let inverse = |s| Inner::<B>::float_recip(Inner::<B>::float_add_scalar(s, damping.into()));
        self.function(inverse, damping.recip())
    }

    /// The square root F̂^½. Applied to a standard normal vector, it gives a sample of the normal distribution with
    /// covariance F̂.
    ///
    /// # Errors
    /// As [`LinearOperator::apply`].
    #[inline(never)]
    pub fn square_root(&self) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        let root = |s| Inner::<B>::float_sqrt(Inner::<B>::float_clamp_min(s, 0.0.into()));
        self.function(root, 0.0)
    }

    /// f of the eigenvalues of every block, and f(0) for the parameters on which the outputs do not depend.
    fn function(
        &self,
        f: impl Fn(InnerFloat<B>) -> InnerFloat<B>,
        of_zero: f64,
    ) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        let Assembled { space, network, blocks, .. } = &self.0;
        network.operator(space, blocks.iter().map(|block| block.sides(space, &f)), of_zero)
    }

    /// All eigenvalues, read from the device if they were not before. Those of parameters that the outputs do not depend on
    /// are zero.
    fn eigenvalues(&self) -> Result<Vec<f64>, Error> {
        let mut values = Vec::with_capacity(self.0.space.len());
        for block in &*self.0.blocks {
            values.extend_from_slice(block.diagonal()?);
        }
        values.resize(self.0.space.len(), 0.0);
        Ok(values)
    }

    /// tr F̂
    ///
    /// # Errors
    /// A diagonal that cannot be read from the device.
    #[inline(never)]
    pub fn trace(&self) -> Result<f64, Error> {
        Ok(self.eigenvalues()?.iter().sum())
    }

    /// The Frobenius norm ‖F̂‖_F.
    ///
    /// # Errors
    /// As [`trace`](Self::trace).
    #[inline(never)]
    pub fn frobenius_norm(&self) -> Result<f64, Error> {
        Ok(norm(&self.eigenvalues()?))
    }

    /// log det (F̂ + λI)
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    #[inline(never)]
    pub fn log_determinant(&self, damping: f64) -> Result<f64, Error> {
        let eigenvalues = self.eigenvalues()?;
        expect_invertible(&eigenvalues, damping, f64::MIN_POSITIVE)?;
        Ok(eigenvalues.iter().map(|value| (value + damping).ln()).sum())
    }
}

impl<B: AutodiffBackend> EkfacLayer<B> {
    /// U (f(S) ∘ (Uᵀ V W)) Wᵀ
    fn sides(
        &self,
        space: &ParamSpace<B>,
        f: impl Fn(InnerFloat<B>) -> InnerFloat<B>,
    ) -> KroneckerSides<B> {
        let bases = [self.input.side(space), self.output.side(space)];
        (bases, Some(f(self.diagonal.device.clone())))
    }
}

/// Checks a damping for functions that divide by damped eigenvalues, which must not be below `least`.
fn expect_invertible(eigenvalues: &[f64], damping: f64, least: f64) -> Result<(), Error> {
    expect_damping(damping)?;
    let invertible = eigenvalues.iter().all(|value| value + damping >= least);
    if invertible { Ok(()) } else { Err(KfacError::Singular { damping }.into()) }
}
