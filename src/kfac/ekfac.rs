//! EKFAC: K-FAC's eigenbases with the best diagonal.

use std::{fmt, sync::Arc};

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    EkfacLayer, FactorSpectrum, Kfac, KfacCollector, KfacConfig, KfacCoverage, KfacError,
    factor::{Eigenbasis, expect_share, mixed},
    inverse::{expect_invertible, log_determinant},
    layer::Diagonal,
    network::{BlockProduct, Network},
};
use crate::{
    derive::Likelihood,
    error::Error,
    objective::Objective,
    operator::{
        BlockDiagonal, Kronecker, KroneckerSide, LinearOperator, SelfAdjoint, expect_damping,
        upload,
    },
    space::{Inner, InnerFloat, ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

/// EKFAC: K-FAC whose eigenvalues are those that fit the Fisher matrix best in its eigenbases.
///
/// ```text
/// F ≈ diag over layers of (U_A ⊗ U_G) diag(s) (U_A ⊗ U_G)ᵀ      s = c·Σ (coordinates of ∇ in U_A ⊗ U_G)²
/// ```
///
/// ∇ are the gradients of single samples with respect to a layer, summed over the places at which it is used. In every
/// layer the error in the Frobenius norm is at most K-FAC's, and the trace is exact.
///
/// # Cost
///
/// That of [`Kfac`] with an eigendecomposition of every factor, and as much again for the diagonal: for a layer that is
/// used at several places, one matrix of the layer's size per sample. [`updated`](Self::updated) keeps the bases. The
/// diagonal stays on the device until its values are asked for.
///
/// # References
///
/// George et al. 2018, *Fast approximate natural gradient descent in a Kronecker-factored eigenbasis*, section 3.
///
/// # Example
///
/// Two samples x = 1 and x = 3 of z = w x with the variance 1: F = 1² + 3², as its own diagonal.
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
/// let model = Line { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
/// let x = Tensor::<2>::from_floats([[1.0], [3.0]], &device);
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = x.matmul(model.w.val());
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
pub struct Ekfac<B: AutodiffBackend = DefaultBackend> {
    space: ParamSpace<B>,
    network: Arc<Network>,
    layers: Arc<[EkfacLayer<B>]>,
    /// The blocks of uncovered parameters.
    uncovered: Arc<[Eigenbasis<B>]>,
    operator: BlockDiagonal<B, Kronecker<B>>,
}

impl<B: AutodiffBackend> Ekfac<B> {
    /// K-FAC's bases with the diagonal at the objective's parameters, over its batches.
    ///
    /// # Errors
    /// As [`KfacConfig::init_ekfac`]; a [`Kfac`] of another model.
    pub fn from_kfac(
        kfac: &Kfac<B>,
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        kfac.domain().layout().expect_same(objective.layout())?;
        let collector = KfacCollector::new(objective, likelihood, config)?;
        let ekfac = Self::uncorrected(kfac)?.averaged(&collector, objective, 0.0)?;
        ekfac.expect_finite()?;
        Ok(ekfac)
    }

    /// K-FAC's bases with K-FAC's own eigenvalues.
    pub(crate) fn uncorrected(kfac: &Kfac<B>) -> Result<Self, Error> {
        let mut spectra = kfac.spectra()?.into_iter();
        let mut layers = Vec::with_capacity(kfac.layers.len());
        for layer in &*kfac.layers {
            let spectrum = spectra.next();
            let Some((input, Some(output))) = spectrum.map(|pair| (pair.input, pair.output)) else {
                continue;
            };
            let values = input.host().outer(output.host());
            let diagonal = Diagonal::known(values, layer.layer.shape(), &kfac.space);
            layers.push(EkfacLayer { layer: Arc::clone(&layer.layer), input, output, diagonal });
        }
        let uncovered = spectra.map(|spectrum| spectrum.input).collect();
        Self::of_parts(kfac.space.clone(), Arc::clone(&kfac.network), layers, uncovered)
    }

    pub(super) fn of_parts(
        space: ParamSpace<B>,
        network: Arc<Network>,
        layers: Vec<EkfacLayer<B>>,
        uncovered: Arc<[Eigenbasis<B>]>,
    ) -> Result<Self, Error> {
        let operator = assemble(&space, &network, (&layers, &uncovered), (|s| s, |s| s))?;
        Ok(Self { space, network, layers: layers.into(), uncovered, operator })
    }

    /// The same bases with the moving average decay·s + (1 − decay)·s' of the diagonal, s' that at the objective's
    /// parameters over its batches. Blocks of uncovered parameters stay as they are.
    ///
    /// # Errors
    /// As [`KfacConfig::init_ekfac`]; [`OperatorError::Factor`](crate::errors::OperatorError::Factor) for a decay outside 0 to 1.
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
        let sides = self.layers.iter().flat_map(|layer| [&layer.input, &layer.output]);
        let sides: Vec<_> = sides.map(|basis| basis.side(&self.space)).collect();
        let bases: Vec<_> = sides.iter().filter_map(KroneckerSide::matrix).cloned().collect();
        let new = collector.diagonals(objective, &bases)?;
        let layers = self.layers.iter().zip(new).map(|(layer, new)| {
            let old = layer.diagonal.device.clone();
            let diagonal = if decay == 0.0 { new } else { mixed::<B>(old, decay, new) };
            EkfacLayer { diagonal: Diagonal::on_device(diagonal), ..layer.clone() }
        });
        let (space, network) = (self.space.clone(), Arc::clone(&self.network));
        Self::of_parts(space, network, layers.collect(), Arc::clone(&self.uncovered))
    }

    /// Reads the diagonal.
    fn expect_finite(&self) -> Result<(), Error> {
        for layer in &*self.layers {
            if !layer.diagonal()?.iter().all(|value| value.is_finite()) {
                let layer = format!("{} (corrected diagonal)", layer.weight());
                return Err(KfacError::NonFinite { layer }.into());
            }
        }
        Ok(())
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    pub(super) fn uncovered_bases(&self) -> &[Eigenbasis<B>] {
        &self.uncovered
    }

    /// The layers with their bases and diagonals, in order of execution.
    pub fn layers(&self) -> &[EkfacLayer<B>] {
        &self.layers
    }

    /// The eigenvalues of the blocks of uncovered parameters, with the parameters' names.
    pub fn uncovered_spectra(&self) -> impl Iterator<Item = (&str, FactorSpectrum)> {
        let pairs = self.network.uncovered.iter().zip(&*self.uncovered);
        pairs.map(|(one, basis)| (one.name(), basis.spectrum()))
    }

    /// The block of one layer, on its weight and bias only, or that of an uncovered parameter.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchParameter`](crate::errors::OperatorError::NoSuchParameter).
    pub fn layer(&self, parameter: &str) -> Result<Kronecker<B>, Error> {
        Ok(self.operator.part_of(parameter)?.clone())
    }

    /// How each parameter is approximated.
    pub fn coverage(&self) -> &KfacCoverage {
        &self.network.coverage
    }

    /// (F̂ + λI)⁻¹
    ///
    /// # Errors
    /// [`OperatorError::Damping`](crate::errors::OperatorError::Damping) for a λ that is negative or not finite, [`KfacError::Singular`] for λ = 0 if the
    /// diagonal contains a zero.
    pub fn inverse(&self, damping: f64) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        expect_damping(damping)?;
        if damping == 0.0 {
            expect_invertible(self.eigenvalues()?.into_iter(), damping)?;
        }
        let device = |s| Inner::<B>::float_recip(Inner::<B>::float_add_scalar(s, damping.into()));
        let parts = (&*self.layers, &*self.uncovered);
        assemble(&self.space, &self.network, parts, (device, |s| (s + damping).recip()))
    }

    /// The square root F̂^½.
    ///
    /// # Errors
    /// As [`LinearOperator::apply`].
    pub fn square_root(&self) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        let device = |s| Inner::<B>::float_sqrt(Inner::<B>::float_clamp_min(s, 0.0.into()));
        let parts = (&*self.layers, &*self.uncovered);
        assemble(&self.space, &self.network, parts, (device, |s: f64| s.max(0.0).sqrt()))
    }

    /// All eigenvalues, read from the device if they were not before.
    fn eigenvalues(&self) -> Result<Vec<f64>, Error> {
        let mut values = Vec::with_capacity(self.space.len());
        for layer in &*self.layers {
            values.extend_from_slice(layer.diagonal()?);
        }
        values.extend(self.uncovered.iter().flat_map(|basis| &basis.host().values));
        Ok(values)
    }

    /// tr F̂
    ///
    /// # Errors
    /// A diagonal that cannot be read from the device.
    pub fn trace(&self) -> Result<f64, Error> {
        Ok(self.eigenvalues()?.iter().sum())
    }

    /// The Frobenius norm ‖F̂‖_F.
    ///
    /// # Errors
    /// As [`trace`](Self::trace).
    pub fn frobenius_norm(&self) -> Result<f64, Error> {
        Ok(self.eigenvalues()?.iter().map(|value| value * value).sum::<f64>().sqrt())
    }

    /// log det (F̂ + λI)
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    pub fn log_determinant(&self, damping: f64) -> Result<f64, Error> {
        log_determinant(&self.eigenvalues()?, damping, self.space.len())
    }
}

/// f of the eigenvalues of every block: on the device for layers, on the host for uncovered parameters.
fn assemble<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    network: &Network,
    (layers, uncovered): (&[EkfacLayer<B>], &[Eigenbasis<B>]),
    (device, host): (impl Fn(InnerFloat<B>) -> InnerFloat<B>, impl Fn(f64) -> f64),
) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
    let layers = layers.iter().map(|layer| {
        let (left, right) = (layer.input.side(space), layer.output.side(space));
        BlockProduct::Spectral(left, right, device(layer.diagonal.device.clone()))
    });
    let uncovered = uncovered.iter().map(|basis| {
        let values: Vec<f64> = basis.host().values.iter().map(|value| host(*value)).collect();
        let values = upload(&values, [1, values.len(), 1], space);
        BlockProduct::Spectral(basis.side(space), KroneckerSide::IDENTITY, values)
    });
    network.operator(space, layers.chain(uncovered), host(0.0))
}

impl<B: AutodiffBackend> fmt::Debug for Ekfac<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ekfac")
            .field("parameters", &self.space.len())
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Ekfac<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.operator.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.operator.apply_many(vectors)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Ekfac<B> {}
