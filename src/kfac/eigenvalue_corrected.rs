//! EKFAC: K-FAC's eigenbases with the right diagonal. Knows K-FAC and its eigen-decompositions.

use std::{fmt, sync::Arc};

use burn_backend::AutodiffBackend;

use super::{
    Kfac, KfacConfig, KfacCoverage, KfacMap, Plans,
    collect::KfacCollector,
    spectra::{DampedRetry, Spectra},
};
use crate::{
    derive::Likelihood,
    error::Error,
    objective::Objective,
    operator::{LinearOperator, OperatorError, SelfAdjoint},
    space::{ParamSpace, ParamVector},
};

/// EKFAC: K-FAC whose eigenvalues are those that fit the Fisher matrix best in its eigenbases.
///
/// ```text
/// F ≈ diag over layers of (U_A ⊗ U_G) diag(s) (U_A ⊗ U_G)ᵀ      s = c·Σ (coordinates of ∇ in U_A ⊗ U_G)²
/// ```
///
/// ∇ are the gradients of single samples with respect to a layer, summed over the places at which it is used. In every
/// layer the error by Frobenius is at most K-FAC's, and the trace is the exact one.
///
/// # Cost
///
/// That of [`Kfac`] with an eigen-decomposition of every factor, and as much again for the diagonal: per sample one
/// matrix as large as the layer where it is used at several places. [`updated`](Self::updated) keeps the bases.
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
/// use burn_curvature::{Ekfac, KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
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
/// let ekfac = Ekfac::new(&objective, likelihood, &KfacConfig::new())?;
/// let one = objective.parameters().space().ones();
/// assert_eq!(ekfac.apply(&one)?.to_vec()?, [10.0]);
/// # Ok(())
/// # }
/// ```
pub struct Ekfac<B: AutodiffBackend> {
    like: ParamVector<B>,
    plans: Plans,
    spectra: Arc<Spectra>,
    coverage: KfacCoverage,
    map: KfacMap<B>,
}

impl<B: AutodiffBackend> Ekfac<B> {
    /// The bases and the diagonal at the objective's parameters, over its batches.
    ///
    /// # Errors
    /// Those of [`Kfac::new`]; [`OperatorError::NoDiagonal`] for [`KfacFisher::ForwardOnly`](crate::KfacFisher).
    pub fn new(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        let kfac = Kfac::new(objective, likelihood, config)?;
        Self::from_kfac(&kfac, objective, likelihood, config)
    }

    /// K-FAC's bases with the diagonal at the objective's parameters, over its batches.
    ///
    /// # Errors
    /// As [`new`](Self::new); a [`Kfac`] of another model.
    pub fn from_kfac(
        kfac: &Kfac<B>,
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        kfac.domain().layout().expect_same(objective.layout())?;
        let target = KfacCollector::new(objective, likelihood, config)?;
        let spectra = kfac.spectra()?;
        let diagonals = target.diagonals(objective, &spectra.bases())?;
        let spectra = spectra.with_diagonals(diagonals);
        Ok(Self::assemble(kfac, spectra))
    }

    /// The same bases with the moving average decay·s + (1 − decay)·s' of the diagonal, s' that at the objective's
    /// parameters over its batches. Blocks of parameters that belong to no layer stay as they are.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`OperatorError::Factor`] for a decay outside 0 to 1.
    pub fn updated(
        &self,
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
        decay: f64,
    ) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(OperatorError::Factor { found: decay }.into());
        }
        self.domain().layout().expect_same(objective.layout())?;
        let target = KfacCollector::new(objective, likelihood, config)?;
        let diagonals = target.diagonals(objective, &self.spectra.bases())?;
        let pairs = self.spectra.layers.iter().zip(diagonals);
        let averaged = pairs.map(|(layer, new)| {
            let pairs = layer.diagonal.iter().zip(new);
            let averaged = pairs.map(|(old, new)| decay * old + (1.0 - decay) * new);
            averaged.collect()
        });
        let spectra = self.spectra.with_diagonals(averaged);
        Ok(Self {
            map: KfacMap::spectral(&self.like, &self.plans, &spectra, |value| value),
            spectra: Arc::new(spectra),
            ..self.clone()
        })
    }

    fn assemble(kfac: &Kfac<B>, spectra: Spectra) -> Self {
        let (like, plans) = (kfac.like.clone(), Arc::clone(&kfac.plans));
        Self::of_spectra(like, plans, kfac.coverage.clone(), spectra)
    }

    pub(super) fn of_spectra(
        like: ParamVector<B>,
        plans: Plans,
        coverage: KfacCoverage,
        spectra: Spectra,
    ) -> Self {
        Self {
            map: KfacMap::spectral(&like, &plans, &spectra, |value| value),
            like,
            plans,
            coverage,
            spectra: Arc::new(spectra),
        }
    }

    pub(super) fn plans(&self) -> &Plans {
        &self.plans
    }

    pub(super) fn like(&self) -> &ParamVector<B> {
        &self.like
    }

    pub(super) fn spectra(&self) -> &Spectra {
        &self.spectra
    }

    /// The block of one layer, on its weight and bias only: see [`KfacMap::layer`].
    ///
    /// # Errors
    /// [`OperatorError::NoSuchParameter`].
    pub fn layer(&self, parameter: &str) -> Result<KfacMap<B>, Error> {
        self.map.layer(parameter)
    }

    /// The eigen-decompositions that failed at first, and came out with some damping; as a rule none.
    pub fn retries(&self) -> &[DampedRetry] {
        self.map.retries()
    }

    /// What is made of every parameter.
    pub fn coverage(&self) -> &KfacCoverage {
        &self.coverage
    }

    /// (F̂ + λI)⁻¹
    ///
    /// # Errors
    /// [`OperatorError::Damping`] for a λ that is negative or not finite, [`OperatorError::KfacSingular`] for λ = 0 where
    /// a number of the diagonal is zero.
    pub fn inverse(&self, damping: f64) -> Result<KfacMap<B>, Error> {
        self.spectra.expect_damping(damping)?;
        let f = |value: f64| (value + damping).recip();
        Ok(KfacMap::spectral(&self.like, &self.plans, &self.spectra, f))
    }

    /// The square root F̂^½.
    pub fn square_root(&self) -> KfacMap<B> {
        KfacMap::spectral(&self.like, &self.plans, &self.spectra, |value| value.max(0.0).sqrt())
    }

    /// tr F̂
    pub fn trace(&self) -> f64 {
        self.spectra.eigenvalues().sum()
    }

    /// ‖F̂‖ by Frobenius.
    pub fn frobenius_norm(&self) -> f64 {
        self.spectra.eigenvalues().map(|value| value * value).sum::<f64>().sqrt()
    }

    /// log det (F̂ + λI)
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    pub fn log_determinant(&self, damping: f64) -> Result<f64, Error> {
        self.spectra.expect_damping(damping)?;
        self.spectra.log_determinant(damping, self.like.len())
    }
}

impl<B: AutodiffBackend> Clone for Ekfac<B> {
    fn clone(&self) -> Self {
        Self {
            like: self.like.clone(),
            plans: Arc::clone(&self.plans),
            spectra: Arc::clone(&self.spectra),
            coverage: self.coverage.clone(),
            map: self.map.clone(),
        }
    }
}

impl<B: AutodiffBackend> fmt::Debug for Ekfac<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ekfac")
            .field("parameters", &self.like.len())
            .field("layers", &self.plans.len())
            .finish_non_exhaustive()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Ekfac<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.like.space()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.map.apply(vector)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Ekfac<B> {}
