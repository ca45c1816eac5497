//! Kronecker-factored approximate curvature of unmodified models. Knows objectives and their layers, not solvers.
//!
//! The recorded program shows which products have a parameter as their right operand: those are the layers, with no
//! change to the model and no registration. `factors` collects the second moments, `moment` is their algebra on the
//! host, `plan` how a layer's weight and bias make a matrix, `blocks` and `map` the products on the device.

mod beside;
mod blocks;
mod compare;
mod config;
mod coverage;
mod eigenvalue_corrected;
mod factors;
mod map;
mod moment;
mod plan;
mod state;

pub use compare::BlockComparison;
pub use config::{BesidePolicy, KfacApproximation, KfacConfig, KfacFisher};
pub use coverage::{CoverageEntry, KfacCoverage, Treatment};
pub use eigenvalue_corrected::Ekfac;
pub use map::KfacMap;
pub use state::KfacState;

use std::{fmt, sync::Arc};

use burn_backend::AutodiffBackend;

use super::Likelihood;
use crate::{
    error::Error,
    objective::{Objective, Reduction},
    operator::{LinearOperator, SelfAdjoint},
    params::{ParamLayout, ParamVector},
};
use beside::exact_blocks;
use blocks::{BlockMap, Side};
use factors::{Collection, LayerFactors, Network, Plans};
use map::{Spectra, expect_damping, outer};
use moment::Moment;

/// K-FAC: the Fisher matrix with a Kronecker product for every layer and nothing between layers.
///
/// ```text
/// F ≈ diag over layers of A ⊗ G      A = E[ā āᵀ],  ā the layer's input with a one for the bias
///                                    G = c·Σ g gᵀ,  g the derivative of −log p by the layer's output
/// ```
///
/// Layers are found in the recorded program: linear layers of any number of shared dimensions, convolutions in one to
/// three dimensions with groups, embeddings (A is a diagonal), the projections inside attention and recurrent cells.
/// Parameters of other kinds get their exact block of the Fisher matrix, or are refused by [`BesidePolicy`]; none is
/// dropped. [`coverage`](Self::coverage) says what is made of each. c is that of [`Fisher`](crate::Fisher), so that A ⊗ G
/// approximates the Gauss-Newton matrix of the negative log-likelihood in the same scale.
///
/// Exact for a single sample, and for deep linear networks with a Gaussian likelihood.
///
/// # Cost
///
/// Making it: a forward pass, a backward pass for every output ([`KfacFisher::Exact`]) or draw, and the second moments.
/// A product: two products of matrices a layer. [`inverse`](Self::inverse): two eigen-decompositions a layer, on the
/// host in f64.
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
/// let objective = Objective::trace(&model, x, |model, x| {
///     let z = x.matmul(model.w.val());
///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let likelihood = Likelihood::Gaussian { variance: 1.0 };
/// let kfac = Kfac::new(&objective, likelihood, Reduction::Sum, &KfacConfig::new())?;
/// let v = objective.parameters().from_vec_like(&[1.0, 0.0])?;
/// assert_eq!(kfac.apply(&v)?.to_vec()?, [1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
pub struct Kfac<B: AutodiffBackend> {
    like: ParamVector<B>,
    plans: Plans,
    layers: Arc<[LayerFactors]>,
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
    /// [`OperatorError::KfacBeside`](crate::OperatorError::KfacBeside) and
    /// [`OperatorError::NoDraws`](crate::OperatorError::NoDraws) for what a configuration does not cover;
    /// [`OperatorError::NonFiniteFactor`](crate::OperatorError::NonFiniteFactor).
    pub fn new(
        objective: &Objective<B>,
        likelihood: Likelihood,
        reduction: Reduction,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        let collection = Collection::checked(objective, config, likelihood, reduction)?;
        let network = Network::of(objective)?;
        let target = (likelihood, reduction);
        let dense = exact_blocks(objective, &network, config, target)?;
        let layers = collection.factors(objective, &network.plans)?;
        Ok(Self::assemble(objective, network, layers, dense))
    }

    fn assemble(
        objective: &Objective<B>,
        network: Network,
        layers: Vec<LayerFactors>,
        dense: Vec<(usize, Moment)>,
    ) -> Self {
        let like = objective.parameters().zeros_like();
        let plans: Plans = network.plans.into();
        let maps = layers.iter().map(|layer| BlockMap::Sandwich {
            left: Side::moment(&layer.a, &like),
            right: Side::moment(&layer.g, &like),
        });
        Self {
            map: KfacMap::new(&like, &plans, maps.collect(), &dense, 0.0),
            coverage: network.coverage,
            layers: layers.into(),
            dense: dense.into(),
            plans,
            like,
        }
    }

    /// What is made of every parameter.
    pub fn coverage(&self) -> &KfacCoverage {
        &self.coverage
    }

    /// (F̂ + λI)⁻¹, exactly, by eigen-decompositions of A and G.
    ///
    /// # Errors
    /// [`OperatorError::Damping`](crate::OperatorError::Damping) for a λ that is negative or not finite,
    /// [`OperatorError::KfacSingular`](crate::OperatorError::KfacSingular) for λ = 0 where
    /// a factor is singular, [`OperatorError::Eigenvalues`](crate::OperatorError::Eigenvalues).
    pub fn inverse(&self, damping: f64) -> Result<KfacMap<B>, Error> {
        let spectra = self.spectra()?;
        expect_damping(damping, &spectra)?;
        let f = |value: f64| (value + damping).recip();
        Ok(KfacMap::spectral(&self.like, &self.plans, &spectra, f))
    }

    /// (A + π√λ I)⁻¹ ⊗ (G + √λ/π I)⁻¹ with π² = (tr A / dim A) / (tr G / dim G): factored Tikhonov damping.
    ///
    /// Damps more than [`inverse`](Self::inverse) where both eigenvalues are large. Parameters of no layer have their
    /// exact damped inverse.
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    ///
    /// # References
    /// Martens & Grosse 2015, section 6.3.
    pub fn factored_inverse(&self, damping: f64) -> Result<KfacMap<B>, Error> {
        let spectra = self.spectra()?;
        expect_damping(damping, &spectra)?;
        let root = damping.sqrt();
        let inverse = |moment: &Moment, damping: &[f64]| {
            let eigen = moment.damped(damping).eigen()?;
            Ok::<_, Error>(Side::moment(&eigen.function(f64::recip), &self.like))
        };
        let maps = self.layers.iter().map(|layer| {
            let pi = balance(&layer.a, &layer.g);
            let left: Vec<f64> = pi.iter().map(|pi| pi * root).collect();
            let right: Vec<f64> = pi.iter().map(|pi| root / pi).collect();
            Ok(BlockMap::Sandwich {
                left: inverse(&layer.a, &left)?,
                right: inverse(&layer.g, &right)?,
            })
        });
        let maps = maps.collect::<Result<Vec<_>, Error>>()?;
        let f = |value: f64| (value + damping).recip();
        let dense = spectra.dense.iter();
        let dense: Vec<_> = dense
            .map(|(position, eigen)| (*position, eigen.function(f)))
            .collect();
        Ok(KfacMap::new(&self.like, &self.plans, maps, &dense, f(0.0)))
    }

    /// The square root F̂^½: applied to standard normal vectors it draws from the normal distribution with covariance F̂.
    ///
    /// # Errors
    /// [`OperatorError::Eigenvalues`](crate::OperatorError::Eigenvalues).
    pub fn square_root(&self) -> Result<KfacMap<B>, Error> {
        let spectra = self.spectra()?;
        Ok(KfacMap::spectral(
            &self.like,
            &self.plans,
            &spectra,
            f64::sqrt,
        ))
    }

    /// tr F̂ = Σ tr A·tr G
    pub fn trace(&self) -> f64 {
        let layers = self.layers.iter().flat_map(|layer| {
            let (a, g) = (layer.a.traces(), layer.g.traces());
            a.into_iter().zip(g).map(|(a, g)| a * g).collect::<Vec<_>>()
        });
        let dense = self.dense.iter().flat_map(|(_, moment)| moment.traces());
        layers.chain(dense).sum()
    }

    /// ‖F̂‖ by Frobenius.
    pub fn frobenius_norm(&self) -> f64 {
        let layers = self.layers.iter().flat_map(|layer| {
            let (a, g) = (layer.a.squares(), layer.g.squares());
            a.into_iter().zip(g).map(|(a, g)| a * g).collect::<Vec<_>>()
        });
        let dense = self.dense.iter().flat_map(|(_, moment)| moment.squares());
        layers.chain(dense).sum::<f64>().sqrt()
    }

    /// log det (F̂ + λI)
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    pub fn log_determinant(&self, damping: f64) -> Result<f64, Error> {
        let spectra = self.spectra()?;
        expect_damping(damping, &spectra)?;
        spectra.log_determinant(damping, self.like.len())
    }

    fn spectra(&self) -> Result<Spectra, Error> {
        let layers = self.layers.iter().map(|layer| {
            let (a, g) = (layer.a.eigen()?, layer.g.eigen()?);
            let middle = outer(&a, &g);
            Ok((a, g, middle))
        });
        let dense = self
            .dense
            .iter()
            .map(|(position, moment)| Ok((*position, moment.eigen()?)));
        Ok(Spectra {
            layers: layers.collect::<Result<_, Error>>()?,
            dense: dense.collect::<Result<_, Error>>()?,
        })
    }
}

/// π for each group; 1 where a trace vanishes.
fn balance(a: &Moment, g: &Moment) -> Vec<f64> {
    let mean = |traces: Vec<f64>, size: usize| -> Vec<f64> {
        traces
            .into_iter()
            .map(|trace| trace / size.max(1) as f64)
            .collect()
    };
    let (a, g) = (mean(a.traces(), a.size()), mean(g.traces(), g.size()));
    let ratios = a.into_iter().zip(g).map(|(a, g)| (a / g).sqrt());
    ratios
        .map(|pi| if pi.is_finite() && pi > 0.0 { pi } else { 1.0 })
        .collect()
}

/// What would be made of every parameter of an objective.
pub(crate) fn kfac_coverage<B: AutodiffBackend>(
    objective: &Objective<B>,
) -> Result<KfacCoverage, Error> {
    Ok(Network::of(objective)?.coverage)
}

impl<B: AutodiffBackend> Clone for Kfac<B> {
    fn clone(&self) -> Self {
        Self {
            like: self.like.clone(),
            plans: Arc::clone(&self.plans),
            layers: Arc::clone(&self.layers),
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
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Kfac<B> {
    fn domain(&self) -> &Arc<ParamLayout> {
        self.like.layout()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.map.apply(vector)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Kfac<B> {}
