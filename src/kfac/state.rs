//! K-FAC's factors and EKFAC's bases as data: saved, loaded, averaged.

use std::sync::Arc;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    Ekfac, EkfacLayer, Kfac, KfacCoverage, KfacError, KfacLayer, KroneckerFactor,
    factor::{Eigenbasis, expect_share},
    layer::Diagonal,
    matrix::{Eigen, FactorMatrix},
    network::Network,
    program::{FactorKind, Reduced},
    signature::Signature,
};
use crate::{
    derive::Metric,
    error::Error,
    objective::Objective,
    state::{Packed, Visit, numbers, saved},
};

/// The factors of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LayerState {
    /// Name of the weight.
    name: String,
    a: FactorMatrix,
    g: FactorMatrix,
}

/// The eigendecompositions of one layer's factors, with the corrected diagonal, `[groups, d_in, d_out]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SpectrumState {
    /// Name of the weight.
    name: String,
    a: Eigen,
    g: Eigen,
    #[serde(with = "numbers")]
    diagonal: Vec<f64>,
}

/// The eigendecompositions of all blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spectra {
    layers: Vec<SpectrumState>,
    /// Of the blocks of uncovered parameters, by position.
    dense: Vec<(usize, Eigen)>,
}

/// The factors of a [`Kfac`], in f64, to be saved to a file of Burn's format or with serde.
///
/// Values are restored bit by bit from every format: readable ones, such as JSON, store them as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacState {
    layers: Vec<LayerState>,
    /// Blocks of uncovered parameters, by position.
    dense: Vec<(usize, FactorMatrix)>,
    coverage: KfacCoverage,
}

/// The eigenbases and diagonals of an [`Ekfac`], in f64, to be saved to a file of Burn's format or with serde.
///
/// Values are restored bit by bit from every format, so that a run that resumes from a state continues exactly.
///
/// # Example
///
/// ```
/// use burn::{nn, prelude::*};
/// use burn_curvature::{Ekfac, KfacConfig, Likelihood, LinearOperator, Objective, Reduction, kfac::EkfacState};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::default().autodiff();
/// let model = nn::LinearConfig::new(3, 2).init(&device);
/// let x = Tensor::<2>::from_floats([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], &device);
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = model.forward(x);
///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let likelihood = Likelihood::Gaussian { variance: 1.0 };
/// let objective = objective.reduced_by(Reduction::Sum)?;
/// let ekfac = KfacConfig::new().init_ekfac(&objective, likelihood)?;
/// let saved = serde_json::to_string(&ekfac.state()?)?;
///
/// let state: EkfacState = serde_json::from_str(&saved)?;
/// let loaded = Ekfac::from_state(&objective, &state)?;
/// let v = objective.parameters().space().ones();
/// assert_eq!(loaded.apply(&v)?.to_vec()?, ekfac.apply(&v)?.to_vec()?);
///
/// let file = std::env::temp_dir().join(format!("ekfac-{}.bpk", std::process::id()));
/// ekfac.state()?.save(&file)?;
/// assert_eq!(EkfacState::load(&file)?, state);
/// # std::fs::remove_file(&file)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EkfacState {
    spectra: Spectra,
    coverage: KfacCoverage,
}

impl EkfacState {
    /// The names of the weights that have bases.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.spectra.layers.iter().map(|layer| layer.name.as_str())
    }

    fn signature(&self) -> Option<Signature<'_>> {
        let layers = self.spectra.layers.iter().map(|layer| {
            let (a, g) = (layer.a.shape()?, layer.g.shape()?);
            let whole = layer.diagonal.len() == g.groups * a.size * g.size;
            whole.then_some((layer.name.as_str(), a, g))
        });
        let uncovered = self.spectra.dense.iter();
        let uncovered = uncovered.map(|(position, eigen)| Some((*position, eigen.shape()?)));
        Some(Signature {
            layers: layers.collect::<Option<_>>()?,
            uncovered: uncovered.collect::<Option<_>>()?,
        })
    }
}

impl KfacState {
    /// The names of the weights that have factors.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| layer.name.as_str())
    }

    /// The exponential moving average ε·self + (1 − ε)·new with ε = `decay`.
    ///
    /// # Errors
    /// [`KfacError::State`] for factors of another model, [`OperatorError::Factor`](crate::errors::OperatorError::Factor) for a decay outside 0 to 1.
    pub fn averaged(&self, new: &Self, decay: f64) -> Result<Self, Error> {
        expect_share(decay)?;
        let (old, other) = (self.signature(), new.signature());
        if old.is_none() || old != other {
            return Err(KfacError::State.into());
        }
        let layers = self.layers.iter().zip(&new.layers).map(|(old, new)| LayerState {
            name: new.name.clone(),
            a: old.a.averaged(&new.a, decay),
            g: old.g.averaged(&new.g, decay),
        });
        let dense = self.dense.iter().zip(&new.dense);
        let dense = dense.map(|((position, old), (_, new))| (*position, old.averaged(new, decay)));
        Ok(Self {
            layers: layers.collect(),
            dense: dense.collect(),
            coverage: new.coverage.clone(),
        })
    }

    fn signature(&self) -> Option<Signature<'_>> {
        let layers = self.layers.iter().map(|layer| {
            let (a, g) = (layer.a.shape()?, layer.g.shape()?);
            Some((layer.name.as_str(), a, g))
        });
        let uncovered = self.dense.iter();
        let uncovered = uncovered.map(|(position, matrix)| Some((*position, matrix.shape()?)));
        Some(Signature {
            layers: layers.collect::<Option<_>>()?,
            uncovered: uncovered.collect::<Option<_>>()?,
        })
    }
}

saved!(KfacState);
saved!(EkfacState);

impl Packed for KfacState {
    const KIND: &'static str = "K-FAC";

    fn visit(&mut self, visit: &mut Visit<'_>) {
        for LayerState { name, a, g } in &mut self.layers {
            a.visit(&format!("{name}/input"), visit);
            g.visit(&format!("{name}/output"), visit);
        }
        for (position, matrix) in &mut self.dense {
            matrix.visit(&format!("beside/{position}"), visit);
        }
    }
}

impl Packed for EkfacState {
    const KIND: &'static str = "EKFAC";

    fn visit(&mut self, visit: &mut Visit<'_>) {
        for layer in &mut self.spectra.layers {
            let name = &layer.name;
            layer.a.visit(&format!("{name}/input"), visit);
            layer.g.visit(&format!("{name}/output"), visit);
            let shape = [layer.g.groups, layer.a.size, layer.g.size];
            visit(&format!("{name}/diagonal"), &shape, &mut layer.diagonal);
        }
        for (position, eigen) in &mut self.spectra.dense {
            eigen.visit(&format!("beside/{position}"), visit);
        }
    }
}

/// The network that factors are of.
fn network_of<B: AutodiffBackend>(
    objective: &Objective<B>,
    signature: Option<Signature<'_>>,
    coverage: &KfacCoverage,
) -> Result<Network, Error> {
    let signature = signature.ok_or(KfacError::State)?;
    // Embeddings have a diagonal A or, reduced, a full one; and targets of the data keep other rows apart than draws.
    let kinds = [Reduced::Nothing, Reduced::Everything]
        .into_iter()
        .flat_map(|reduced| [None, Some(Metric::Empirical)].map(|metric| (metric, reduced)));
    for (metric, reduced) in kinds {
        let network = Network::of(objective, FactorKind { metric, reduced })?;
        if signature.fits(&network, objective.layout())
            && network.coverage.has_the_parameters_of(coverage)
        {
            return Ok(network.with_coverage(coverage));
        }
    }
    Err(KfacError::State.into())
}

impl<B: AutodiffBackend> Kfac<B> {
    /// The factors as data, read from the device if they were not before.
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    pub fn state(&self) -> Result<KfacState, Error> {
        self.read()?;
        let layers = self.layers.iter().map(|layer| {
            Ok(LayerState {
                name: layer.weight().into(),
                a: layer.input.host()?.clone(),
                g: layer.output.host()?.clone(),
            })
        });
        let dense = self.network.uncovered.iter().zip(&*self.uncovered);
        let dense = dense.map(|(one, factor)| Ok((one.position, factor.host()?.clone())));
        Ok(KfacState {
            layers: layers.collect::<Result<_, Error>>()?,
            dense: dense.collect::<Result<_, Error>>()?,
            coverage: self.coverage().clone(),
        })
    }

    /// K-FAC with factors from a state of the same model.
    ///
    /// # Errors
    /// [`KfacError::State`] for factors of another model.
    pub fn from_state(objective: &Objective<B>, state: &KfacState) -> Result<Self, Error> {
        let network = network_of(objective, state.signature(), &state.coverage)?;
        let space = objective.parameters().space().clone();
        let pairs = network.layers.iter().zip(&state.layers);
        let layers = pairs.map(|(layer, saved)| KfacLayer {
            layer: Arc::clone(layer),
            input: KroneckerFactor::known(&saved.name, saved.a.clone(), &space),
            output: KroneckerFactor::known(&saved.name, saved.g.clone(), &space),
        });
        let layers = layers.collect();
        let pairs = network.uncovered.iter().zip(&state.dense);
        let uncovered = pairs
            .map(|(one, (_, matrix))| KroneckerFactor::known(one.name(), matrix.clone(), &space));
        let uncovered = uncovered.collect();
        Self::of_factors(space, Arc::new(network), layers, uncovered)
    }
}

impl<B: AutodiffBackend> Ekfac<B> {
    /// The bases and diagonals as data, read from the device if they were not before.
    ///
    /// # Errors
    /// A diagonal that cannot be read from the device.
    pub fn state(&self) -> Result<EkfacState, Error> {
        let layers = self.layers().iter().map(|layer| {
            Ok(SpectrumState {
                name: layer.weight().into(),
                a: layer.input.host().clone(),
                g: layer.output.host().clone(),
                diagonal: layer.diagonal()?.to_vec(),
            })
        });
        let dense = self.network().uncovered.iter().zip(self.uncovered_bases());
        let dense = dense.map(|(one, basis)| (one.position, basis.host().clone()));
        let spectra =
            Spectra { layers: layers.collect::<Result<_, Error>>()?, dense: dense.collect() };
        Ok(EkfacState { spectra, coverage: self.coverage().clone() })
    }

    /// EKFAC with bases and diagonals from a state of the same model.
    ///
    /// # Errors
    /// [`KfacError::State`] for those of another model.
    pub fn from_state(objective: &Objective<B>, state: &EkfacState) -> Result<Self, Error> {
        let network = network_of(objective, state.signature(), &state.coverage)?;
        let space = objective.parameters().space().clone();
        let pairs = network.layers.iter().zip(&state.spectra.layers);
        let layers = pairs.map(|(layer, saved)| EkfacLayer {
            layer: Arc::clone(layer),
            input: Eigenbasis::new(saved.a.clone()),
            output: Eigenbasis::new(saved.g.clone()),
            diagonal: Diagonal::known(saved.diagonal.clone(), layer.shape(), &space),
        });
        let layers = layers.collect();
        let dense = state.spectra.dense.iter().map(|(_, eigen)| Eigenbasis::new(eigen.clone()));
        let uncovered = dense.collect();
        Self::of_parts(space, Arc::new(network), layers, uncovered)
    }
}
